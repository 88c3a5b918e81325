"""What a terminal and a notebook show of networks, programs and recordings."""

import numpy as np

import neurodeploy
from neurodeploy.families.options import CompileOptions
from neurodeploy.ir.recording import Recording
from tests.conftest import ROOT


def test_public_names_are_listed_before_they_are_used():
    assert {"compile", "run", "compare", "Program", "__version__"} <= set(dir(neurodeploy))


def test_models_and_programs_show_their_size_and_never_their_arrays():
    network, _, _ = neurodeploy.read_network(ROOT / "models" / "digits-fc" / "model.nir")
    program = neurodeploy.compile(network, "loihi2")
    for shown, kind in ((network, "Network"), (program, "Program")):
        n_neurons = sum(int(np.prod(p.shape)) for p in network.populations)
        assert repr(shown).startswith(f"<{kind}: ")
        assert f"{n_neurons:,} neurons" in repr(shown)
        assert len(repr(shown)) < 120
        html = shown._repr_html_()
        assert html.count("<tr>") == len(network.populations) + 1
        assert all(f"<td>{p.name}</td>" in html for p in network.populations)


def test_a_recording_shows_its_nodes_and_spikes():
    spikes = np.zeros((5, 1, 3), np.uint8)
    spikes[2] = 1
    shown = Recording({"<lif>": {"spikes": spikes}}, {"backend": "reference"})
    assert repr(shown) == "<Recording: 1 node on reference, 1 sample of 5 steps>"
    assert "<td>&lt;lif&gt;</td><td>spikes</td><td>(3,)</td><td>uint8</td><td>3</td>" in shown._repr_html_()


def test_what_the_command_line_takes_python_takes(tmp_path, rng):
    model = ROOT / "models" / "digits-fc" / "model.nir"
    network, _, _ = neurodeploy.read_network(model)
    (name,), (shape,) = network.inputs.keys(), network.inputs.values()
    x = (rng.random((5, 3, *shape)) < 0.3).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x)
    data = neurodeploy.load_data(tmp_path / "data.npz", network.inputs)
    program = neurodeploy.compile(model, "loihi2")
    expected = neurodeploy.run(program, {name: x}, backend="emulator")
    for given in (x, data, tmp_path / "data.npz", str(tmp_path / "data.npz")):
        found = neurodeploy.run(program, given, backend="emulator")
        for node in expected.nodes:
            np.testing.assert_array_equal(found.spikes(node), expected.spikes(node))
        compared = neurodeploy.compare(model, "loihi2", given, program=program, only=("reference", "emulator"))
        assert compared.result["samples"] == {"reference": 3, "emulator": 3}
        assert repr(compared) == f"<Comparison: verdict {compared.result['verdict']['status']} on loihi2>"
        assert "<td>trained</td><td>not judged</td><td>no trained recording is given</td>" in compared._repr_html_()


def test_calibration_data_is_used_for_all_that_it_can_be_used_for():
    options = CompileOptions(rounding="nearest").settled(True)
    assert (options.scale, options.rounding, options.per_channel) == ("mse", "nearest", True)
    assert options.correct == ("bias", "threshold")
    assert CompileOptions().settled(False) == CompileOptions(rounding="nearest", correct=())
