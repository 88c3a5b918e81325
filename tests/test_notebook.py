"""What a terminal and a notebook show of networks, programs and recordings."""

import numpy as np

import neurodeploy
from neurodeploy.recording import Recording
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
