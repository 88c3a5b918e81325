"""Which dialect a graph is read in: the option, then the file; what nobody says is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.detect import detect
from neurodeploy.importers.losses import LOSSES
from neurodeploy.importers.lower import lower, read_network
from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir, read_graph
from neurodeploy.importers.settle import resolve_dialect
from neurodeploy.ir.synapses import Scale
from tests.conftest import chain_edges, cuba, lif, save_nir


@pytest.fixture
def silent_model(tmp_path: Path) -> Path:
    """A file without metadata, as snnTorch's own exporter writes it."""
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "lif1": lif((3,)),
        "lif2": cuba((3,)),
        "output": nir.Output({"output": np.array([3])}),
    }
    return save_nir(tmp_path / "silent.nir", nodes, chain_edges("input", "lif1", "lif2", "output"), None)


def test_a_detected_framework_is_said_with_what_its_exporter_drops(silent_model: Path) -> None:
    with pytest.raises(DeployError, match="is read as snntorch, and the file does not say its reset") as caught:
        resolve_dialect(read_graph(silent_model))
    assert "--dialect snntorch,reset=subtract" in caught.value.fix


def test_a_reset_that_nobody_says_is_asked_for(silent_model: Path) -> None:
    with pytest.raises(DeployError, match=r"node 'lif[12]' is read as snntorch, and the file does not say its reset"):
        resolve_dialect(read_graph(silent_model), "snntorch")


def test_a_time_step_that_nobody_says_is_asked_for(silent_model: Path) -> None:
    with pytest.raises(DeployError, match="the file does not say its dt"):
        resolve_dialect(read_graph(silent_model), "nir")


def test_the_option_wins_over_the_file(fc_model: Path) -> None:
    graph = read_graph(fc_model)
    assert resolve_dialect(graph).settings["lif1"].reset == "value"
    assert resolve_dialect(graph, "reset=subtract").settings["lif1"].reset == "subtract"


def test_a_node_can_differ_from_the_graph(fc_model: Path) -> None:
    settings = resolve_dialect(read_graph(fc_model), "snntorch,reset=zero,lif2:reset_delay=false").settings
    assert settings["lif1"].reset_delay
    assert not settings["lif2"].reset_delay


@pytest.mark.parametrize(
    "option",
    [
        "snntorch,reset=zero,reset_delay=true,lif2:reset_delay=false",
        "lif2:reset_delay=false,reset=zero,reset_delay=true",
    ],
)
def test_what_is_said_for_a_node_wins_over_what_is_said_for_all(fc_model: Path, option: str) -> None:
    settings = resolve_dialect(read_graph(fc_model), option).settings
    assert settings["lif1"].reset_delay
    assert not settings["lif2"].reset_delay


def test_snntorchs_late_reset_drops_the_input_of_nodes_with_a_current(silent_model: Path) -> None:
    settings = resolve_dialect(read_graph(silent_model), "snntorch,reset=zero,rest=default").settings
    assert not settings["lif1"].reset_drops_input
    assert settings["lif2"].reset_drops_input


def test_what_was_chosen_is_said(fc_model: Path) -> None:
    evidence = resolve_dialect(read_graph(fc_model), "reset=subtract").evidence
    assert "dialect snntorch: written in the file" in evidence[0]
    assert "reset: subtract (--dialect)" in evidence


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("brian", "no dialect is called 'brian'"),
        ("snntorch,reset=soft", "reset cannot be 'soft'"),
        ("snntorch,colour=red", "no dialect has a key 'colour'"),
        ("snntorch,max_spikes=half", "max_spikes cannot be 'half'"),
        ("snntorch,output_delay=2", "output_delay cannot be '2'"),
        ("snntorch,reset", "'reset' is not of the form key=value"),
        ("snntorch,lif9:reset=zero", "there is no neuron 'lif9'"),
        ("dt=0", "dt cannot be '0'"),
        ("snntorch,reset_delay=maybe", "reset_delay cannot be 'maybe'"),
    ],
)
def test_an_option_that_means_nothing_is_refused(fc_model: Path, option: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        resolve_dialect(read_graph(fc_model), option)


N = 3
ONES, ZEROS = np.ones(N), np.zeros(N)
DT = 1e-4
STEPS = ((1, 1e-3), (2, 2e-3))


def neuron(dialect: str) -> Any:
    """A node with the parameters that a framework's exporter writes."""
    match dialect:
        case "snntorch":
            steps = np.array([5.0, 10, 20])
            return nir.LIF(tau=DT * steps, r=steps, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "norse":
            return nir.LIF(tau=1e-5 * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "sinabs":
            return nir.LIF(tau=np.array([10.0, 20, 30]), r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "rockpool":
            tau, dt = np.array([0.01, 0.02, 0.03]), 1e-3
            return nir.LIF(tau=tau, r=tau / dt * np.exp(-dt / tau), v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
        case "spikingjelly":
            return nir.LIF(tau=2 * DT * ONES, r=2 * ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    tau = np.array([2.0, 5.0, 10.0])
    return nir.LIF(tau=tau, r=1 - 1 / tau, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)


def graph_in_memory(dialect: str, entry: str = "input", fc: str = "0", lif: str = "1") -> nir.NIRGraph:
    return _in_memory(neuron(dialect), entry, fc, lif)


def graph_of(node: Any, entry: str = "input", fc: str = "fc", lif: str = "lif") -> NirGraph:
    return graph_from_nir(_in_memory(node, entry, fc, lif))


def _in_memory(node: Any, entry: str, fc: str, lif: str) -> nir.NIRGraph:
    nodes = {
        entry: nir.Input({"input": np.array([N])}),
        fc: nir.Linear(np.eye(N)),
        lif: node,
        "output": nir.Output({"output": np.array([N])}),
    }
    return nir.NIRGraph(nodes, chain_edges(entry, fc, lif, "output"), type_check=False)


def exported(dialect: str) -> NirGraph:
    """The graph of a neuron, named as the framework's exporter names nodes."""
    names = ("input_1", "_0", "_1") if dialect == "spikingjelly" else ("input", "0", "1")
    return graph_of(neuron(dialect), *names)


@pytest.mark.parametrize("dialect", ["snntorch", "norse", "sinabs", "rockpool", "spikingjelly", "spyx"])
def test_each_exporter_is_recognised_by_its_parameters(dialect: str) -> None:
    candidate = next(candidate for candidate in detect(exported(dialect)) if candidate.name == dialect)
    assert candidate.evidence


@pytest.mark.parametrize("dialect", ["snntorch", "rockpool", "spikingjelly", "spyx"])
def test_evidence_that_one_framework_alone_leaves_is_certain(dialect: str) -> None:
    assert [candidate.name for candidate in detect(exported(dialect)) if candidate.is_certain] == [dialect]


@pytest.mark.parametrize("dialect", ["norse", "sinabs"])
def test_a_gain_of_1_proves_no_framework(dialect: str) -> None:
    with pytest.raises(DeployError, match="the file does not say which framework") as caught:
        resolve_dialect(exported(dialect), "rest=default")
    assert f"It can be {dialect}" in caught.value.what


def test_names_that_nir_gives_to_inputs_prove_no_framework() -> None:
    """nir itself calls the Inputs of a graph without any ``input_<node>``."""
    node = nir.LIF(tau=0.02 * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match="the file does not say which framework"):
        resolve_dialect(graph_of(node, "input_fc"), "rest=default")


def test_one_time_constant_that_fits_some_dt_does_not_prove_spyx() -> None:
    tau = np.full(N, 0.01)
    node = nir.LIF(tau=tau, r=0.5 * ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match=r"It can be spyx: r = 1 - dt / tau with dt = 0.005"):
        resolve_dialect(graph_of(node))


def test_norses_time_constants_are_brought_to_seconds() -> None:
    settled = resolve_dialect(graph_of(neuron("norse")), "norse,v_reset=0,rest=default")
    assert settled.settings["lif"].tau_scale == 1000
    assert "time constants of lif are in units of 1000 s" in settled.evidence


def test_norses_time_constants_of_a_tenth_of_a_second_are_brought_to_seconds() -> None:
    """The exporter's dt is 1e-3, so that 0.1 s are written as 1e-4."""
    node = nir.LIF(tau=1e-4 * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    assert resolve_dialect(graph_of(node), "norse,rest=default").settings["lif"].tau_scale == 1000


def test_the_unit_of_norses_time_constants_is_decided_for_each_population() -> None:
    nodes = {"input": nir.Input({"input": np.array([N])}), "output": nir.Output({"output": np.array([N])})}
    for name, tau in (("short", 2e-5), ("long", 0.02)):
        nodes[name] = nir.LIF(tau=tau * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    edges = chain_edges("input", "short", "long", "output")
    settings = resolve_dialect(
        graph_from_nir(nir.NIRGraph(nodes, edges, type_check=False)), "norse,rest=default"
    ).settings
    assert (settings["short"].tau_scale, settings["long"].tau_scale) == (1000, 1)


def test_rockpools_time_step_is_found_in_its_gain() -> None:
    settled = resolve_dialect(graph_of(neuron("rockpool")), "bias=0,max_spikes=1,rest=default")
    assert settled.name == "rockpool"
    assert settled.settings["lif"].dt == pytest.approx(1e-3)


def test_several_frameworks_that_can_be_are_all_named() -> None:
    same = nir.IF(r=ONES, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match=r"It can be norse: .* It can be sinabs: ") as caught:
        resolve_dialect(graph_of(same))
    assert "--dialect with one of norse, sinabs" in caught.value.fix


def test_parameters_of_no_exporter_are_said_to_be_so() -> None:
    odd = nir.LIF(tau=0.02 * ONES, r=np.array([2.0, 7, 40]), v_leak=0.3 * ONES, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match="No exporter that is known writes such parameters"):
        resolve_dialect(graph_of(odd))


LOST_KEYS = {
    "snntorch": ["reset", "reset_delay", "graded", "inhibition", "state_quant"],
    "norse": ["dt", "tau_scale", "reset", "v_reset"],
    "sinabs": ["reset", "subtract_value", "max_spikes", "min_v_mem", "tau_syn", "norm_input"],
    "rockpool": ["bias", "max_spikes", "w_rec", "noise_std"],
}


@pytest.mark.parametrize("dialect", LOST_KEYS)
def test_what_an_exporter_drops_is_asked_for_until_it_is_said(dialect: str) -> None:
    answers: dict[str, str] = {}
    for loss in (loss for loss in LOSSES[dialect] if "LIF" in loss.kinds and loss.key in LOST_KEYS[dialect]):
        option = ",".join([dialect, *(f"{key}={value}" for key, value in answers.items())])
        with pytest.raises(
            DeployError, match=f"is read as {dialect}, and the file does not say its .*{loss.key}"
        ) as caught:
            resolve_dialect(graph_of(neuron(dialect)), option)
        assert f"{loss.key}={loss.default}" in caught.value.fix
        answers[loss.key] = loss.default
    assert list(answers) == LOST_KEYS[dialect]
    assert not any(
        "default" in line
        for line in resolve_dialect(graph_of(neuron(dialect)), f"{option},{loss.key}={loss.default}").evidence
    )


@pytest.mark.parametrize("dialect", LOST_KEYS)
def test_defaults_that_are_asked_for_are_assumed_aloud(dialect: str) -> None:
    evidence = resolve_dialect(graph_of(neuron(dialect)), f"{dialect},rest=default").evidence
    assumed, calls = (line for line in evidence if line.startswith("assumed: "))
    assert calls.startswith("assumed: forward only calls modules")
    assert assumed.endswith(f" for lif ({dialect}'s defaults, which its exporter does not write)")
    for key in LOST_KEYS[dialect]:
        assert f"{key} = " in assumed


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        ("snntorch", "inhibition=true"),
        ("snntorch", "state_quant=true"),
        ("sinabs", "subtract_value=0.5"),
        ("sinabs", "reset=value,v_reset=-0.2"),
        ("rockpool", "w_rec=yes"),
        ("rockpool", "noise_std=0.1"),
    ],
)
def test_an_answer_that_nobody_can_compute_with_names_the_way_out(dialect: str, answer: str) -> None:
    with pytest.raises(DeployError, match="the file does not hold") as caught:
        resolve_dialect(graph_of(neuron(dialect)), f"{dialect},{answer},rest=default")
    assert "neurodeploy export" in caught.value.fix


def test_an_answer_may_differ_between_neurons(tmp_path: Path) -> None:
    np.save(tmp_path / "bias.npy", np.array([0.0, 0.1, 0.2]))
    option = f"rockpool,bias=@{tmp_path / 'bias.npy'},rest=default"
    assert resolve_dialect(graph_of(neuron("rockpool")), option).settings["lif"].bias == (0.0, 0.1, 0.2)


@pytest.mark.parametrize(
    ("key", "message"), [("bias", "not a .npy file of numbers"), ("dt", "dt has one value for all neurons of a node")]
)
def test_a_file_that_is_no_answer_is_refused(tmp_path: Path, key: str, message: str) -> None:
    (tmp_path / "text.npy").write_text("0.1")
    with pytest.raises(DeployError, match=message):
        resolve_dialect(graph_of(neuron("rockpool")), f"rockpool,{key}=@{tmp_path / 'text.npy'}")


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 1 / 30])
@pytest.mark.parametrize("dialect", ["snntorch", "rockpool", "spikingjelly", "spyx"])
def test_the_exporters_time_step_is_read_off_the_parameters(dialect: str, dt: float) -> None:
    steps = np.array([5.0, 10.0, 30.0])
    r = {"rockpool": steps * np.exp(-1 / steps), "spyx": 1 - 1 / steps}.get(dialect, steps)
    node = nir.LIF(tau=dt * steps, r=r, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    settled = resolve_dialect(graph_of(node), f"{dialect},rest=default")
    assert settled.settings["lif"].dt == pytest.approx(dt, rel=1e-7)


def test_a_time_step_that_the_parameters_hide_is_asked_for() -> None:
    """With decay_input, SpikingJelly's exporter writes r = 1 whatever dt is."""
    node = nir.LIF(tau=0.02 * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match="the file does not say its dt"):
        resolve_dialect(graph_of(node), "spikingjelly")


def test_a_name_that_contradicts_the_file_is_refused(fc_model: Path) -> None:
    with pytest.raises(DeployError, match="dialect says norse, but the file itself says snntorch"):
        resolve_dialect(read_graph(fc_model), "norse,rest=default")


def test_a_name_that_contradicts_the_parameters_is_said() -> None:
    evidence = resolve_dialect(graph_of(neuron("rockpool")), "snntorch,dt=1e-3,rest=default").evidence
    assert any("the file is read as snntorch, but looks like rockpool" in line for line in evidence)


def test_a_key_that_contradicts_the_file_is_said(fc_model: Path) -> None:
    evidence = resolve_dialect(read_graph(fc_model), "reset=subtract").evidence
    assert "warning: lif1 is read with reset = subtract (--dialect), but the file says zero" in evidence


def test_a_reset_that_rsynaptic_ignores_is_said(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "rec": cuba((3,)),
        "w_rec": nir.Linear(np.eye(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [*chain_edges("input", "rec", "output"), ("rec", "w_rec"), ("w_rec", "rec")]
    model = save_nir(tmp_path / "rec.nir", nodes, edges, None)
    evidence = resolve_dialect(read_graph(model), "snntorch,reset_delay=false,rest=default").evidence
    assert any("which snnTorch 1.0.0 ignores in RSynaptic" in line for line in evidence)


def test_sinabs_defaults_are_its_layers_own() -> None:
    settings = resolve_dialect(graph_of(neuron("sinabs")), "sinabs,rest=default").settings["lif"]
    assert (settings.reset, settings.max_spikes, settings.min_v_mem, settings.gain) == ("subtract", 0, None, "norm")


def test_an_exporter_that_drops_nothing_is_read_without_options() -> None:
    assert resolve_dialect(exported("spikingjelly")).name == "spikingjelly"


def test_layers_that_spyx_left_out_are_named() -> None:
    graph = graph_of(neuron("spyx"), "input", "layer_0", "layer_2")
    with pytest.raises(DeployError, match="its skipped and activation") as caught:
        resolve_dialect(graph)
    assert "here layer_1" in caught.value.fix
    evidence = resolve_dialect(graph, "spyx,rest=default").evidence
    assert "warning: spyx's exporter left layer_1 out of the file" in evidence
    whole = resolve_dialect(graph_of(neuron("spyx"), "input", "layer_0", "layer_1"), "spyx,rest=default").evidence
    assert not any("left" in line for line in whole)


def test_a_time_step_that_is_asked_for_comes_with_what_the_node_says() -> None:
    """Two nodes of another step each have no common one, and each tells its own."""
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        **{f"{i}": nir.LIF(*(np.array([v]) for v in (0.01, 0.01 / dt * np.exp(-dt / 0.01), 0, 1))) for i, dt in STEPS},
        "output": nir.Output({"output": np.array([1])}),
    }
    graph = nir.NIRGraph(nodes, chain_edges(*nodes), type_check=False)
    with pytest.raises(DeployError, match="the file does not say its dt") as caught:
        read_network(graph, "rockpool,bias=0,max_spikes=0,w_rec=none,noise_std=0")
    assert "1:dt=0.001,2:dt=0.002" in caught.value.fix
    with pytest.raises(DeployError, match=r"time steps of 0.001 and 0.002 s, but a network has only one"):
        read_network(graph, "rockpool,bias=0,max_spikes=0,w_rec=none,noise_std=0,1:dt=0.001,2:dt=0.002")


def test_the_step_of_spyxs_integrators_is_asked_for_with_its_own_default() -> None:
    graph = graph_of(nir.LI(np.array([2.0, 4.0, 5.0]), ONES, ZEROS))
    with pytest.raises(DeployError) as caught:
        resolve_dialect(graph, "spyx,skipped=none")
    assert "--dialect spyx,dt=1 " in caught.value.fix


@pytest.mark.parametrize("dialect", ["snntorch,rest=default", "spyx,rest=default"])
def test_a_negative_threshold_is_refused_where_it_owes_a_reset_before_the_first_step(dialect: str) -> None:
    node = neuron(dialect.partition(",")[0])
    node.v_threshold = np.array([-0.3, 1.0, 1.0])
    graph = _in_memory(node, "input", "layer_0", "layer_1")
    with pytest.raises(DeployError, match="resets them before the first step"):
        read_network(graph, dialect)
    if dialect.startswith("snntorch"):
        read_network(graph, f"{dialect},reset_delay=false")


def test_a_rule_of_a_node_wins_over_that_of_the_graph() -> None:
    node = neuron("spyx")
    node.metadata = {"neurodeploy": '{"rules": {"spike": ">="}}'}
    assert resolve_dialect(graph_of(node), "spyx,rest=default").settings["lif"].spike == ">="


def test_a_name_that_is_a_number_is_shown_with_its_kind() -> None:
    with pytest.raises(DeployError, match=r"node 1 \(Leaky\) is read as snntorch"):
        resolve_dialect(exported("snntorch"))
    assert read_network(graph_in_memory("snntorch"), "snntorch,rest=default")[0].labels == {"1": "1 (Leaky)"}


def test_edges_that_meet_are_asked_about_where_a_tracer_loses_sums() -> None:
    """A layer that is called twice, and one that is called once beside a sum, leave the same edges."""
    graph = _in_memory(neuron("snntorch"), "input", "fc", "lif")
    graph.edges += [("lif", "fc")]
    with pytest.raises(DeployError, match="its called, reset") as caught:
        resolve_dialect(graph_from_nir(graph), "snntorch")
    assert "called: Export the model from its module" in caught.value.fix
    with pytest.raises(DeployError, match="called of 'fc' cannot be 'again'"):
        resolve_dialect(graph_from_nir(graph), "snntorch,called=again,rest=default")
    evidence = resolve_dialect(graph_from_nir(graph), "snntorch,rest=default").evidence
    assert any(line.startswith("assumed: called = once for fc ") for line in evidence)


def test_the_edges_of_recurrent_weights_are_not_asked_about() -> None:
    graph = _in_memory(neuron("snntorch"), "input", "fc", "lif")
    graph.nodes["w_rec"] = nir.Linear(np.eye(N))
    graph.edges += [("lif", "w_rec"), ("w_rec", "lif")]
    assert "called" not in str(resolve_dialect(graph_from_nir(graph), "snntorch,rest=default").evidence)


@pytest.mark.parametrize("name", ["lif", "lif1", "block_0"])
def test_neurons_named_as_a_second_call_are_asked_about_in_spikingjelly(name: str) -> None:
    graph = _in_memory(neuron("spikingjelly"), "x", "fc", name)
    graph.nodes[f"{name}_1"] = neuron("spikingjelly")
    graph.edges += [(name, f"{name}_1")]
    with pytest.raises(DeployError, match=rf"node '{name}_1' is read as spikingjelly, .* its called"):
        resolve_dialect(graph_from_nir(graph), "spikingjelly")


@pytest.mark.parametrize("dialect", ["snntorch", "rockpool"])
def test_a_time_step_against_that_of_the_parameters_is_refused(dialect: str) -> None:
    with pytest.raises(DeployError, match=r"dt of 'lif' cannot be 0\.005: .* those of a step of"):
        resolve_dialect(graph_of(neuron(dialect)), f"{dialect},dt=0.005,rest=default")


def test_a_time_step_against_that_of_one_time_constant_is_said() -> None:
    evidence = resolve_dialect(graph_of(neuron("spikingjelly")), "spikingjelly,dt=0.005").evidence
    assert "warning: lif is read with dt = 0.005 s (--dialect), but its parameters say 0.0001 s" in evidence


def test_a_state_that_would_change_its_sign_is_refused() -> None:
    node = nir.LIF(tau=np.array([5e-4, 1e-3, 2e-3]), r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match=r"tau down to 0\.0005 s, which is below its time step of 0\.001 s"):
        read_network(_in_memory(node, "input", "fc", "lif"), "nir,dt=1e-3")
    with pytest.raises(DeployError, match=r"below its time step of 0\.005 s"):
        read_network(_in_memory(node, "input", "fc", "lif"), "norse,tau_scale=1,dt=0.005,rest=default")


def test_what_enters_rockpools_readout_decays_with_the_rest() -> None:
    tau, dt = np.array([0.01, 0.02, 0.03]), 1e-3
    node = nir.LI(tau=tau, r=tau / dt * np.exp(-dt / tau), v_leak=ZEROS)
    readout = read_network(_in_memory(node, "input", "fc", "lif"), "rockpool,noise_std=0")[0].population("lif")
    np.testing.assert_allclose(readout.decay_mem, np.exp(-dt / tau), rtol=1e-6)
    np.testing.assert_allclose(readout.gain_mem, np.exp(-dt / tau), rtol=1e-6)


@pytest.mark.parametrize(
    ("dialect", "key", "way_out"),
    [
        ("snntorch", "inhibition", "Train with inhibition=False"),
        ("snntorch", "state_quant", "Train without state_quant"),
        ("sinabs", "subtract_value", r"Train with MembraneSubtract\(\)"),
        ("rockpool", "noise_std", "set noise_std=0"),
        ("rockpool", "w_rec", "Export the model from its module"),
    ],
)
def test_the_way_out_is_one_that_there_is(dialect: str, key: str, way_out: str) -> None:
    with pytest.raises(DeployError, match=way_out):
        resolve_dialect(graph_of(neuron(dialect)), f"{dialect},{key}=7,rest=default")


def said_by(tmp_path: Path, said: dict[str, Any]) -> NirGraph:
    """Return two neurons in a row whose file says something of itself."""
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "lif1": lif((3,)),
        "fc": nir.Linear(np.eye(3)),
        "lif2": lif((3,)),
        "output": nir.Output({"output": np.array([3])}),
    }
    rules = {"reset": "zero", "reset_delay": False, "dt": 1e-4, **said.pop("rules", {})}
    metadata = {"neurodeploy": json.dumps({"dialect": "nir", "dt": 1e-4, "rules": rules, **said})}
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, chain_edges(*nodes), metadata=metadata, type_check=False))
    return read_graph(tmp_path / "m.nir")


@pytest.mark.parametrize(
    ("option", "is_said"),
    [
        ("dt=1e-4", False),
        ("dt=0.0001", False),
        ("reset_delay=False", False),
        ("reset_delay=true", True),
        ("dt=2e-4", True),
    ],
)
def test_an_option_that_contradicts_the_file_is_said(tmp_path: Path, option: str, is_said: bool) -> None:
    evidence = resolve_dialect(said_by(tmp_path, {}), option).evidence
    key = option.partition("=")[0]
    warnings = [line for line in evidence if line.startswith("warning: lif1 is read with ")]
    assert bool(warnings) is is_said
    assert all(f"lif1 is read with {key} = " in line and "but the file says " in line for line in warnings)


@pytest.mark.parametrize("pairs", [[["lif1"]], [["lif1", "lif2", "lif2"]], [["lif1", "lif3"]], ["ab"], "lif1"])
def test_delayed_edges_that_are_no_pairs_of_neurons_are_refused(tmp_path: Path, pairs: Any) -> None:
    with pytest.raises(DeployError, match="delayed_edges are") as caught:
        resolve_dialect(said_by(tmp_path, {"delayed_edges": pairs}))
    assert "m.nir" in caught.value.where
    assert resolve_dialect(said_by(tmp_path, {"delayed_edges": [["lif1", "lif2"]]})).delayed == (("lif1", "lif2"),)


@pytest.mark.parametrize("value", [[], ["a"], [[1.0], ["b"]]])
def test_values_by_neuron_that_are_no_numbers_are_refused_with_the_node(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DeployError, match="v_reset is not an array of finite numbers") as caught:
        resolve_dialect(said_by(tmp_path, {"rules": {"v_reset": value}}))
    assert "node 'lif1'" in caught.value.where


@pytest.mark.parametrize("option", ["size=3", "lif1:size=3"])
def test_a_key_that_no_dialect_has_is_refused_at_the_option(tmp_path: Path, option: str) -> None:
    with pytest.raises(DeployError, match="no dialect has a key 'size'") as caught:
        resolve_dialect(said_by(tmp_path, {}), option)
    assert caught.value.where == "--dialect"


def test_a_factor_of_spikes_by_neuron_weighs_what_the_next_layer_gets(tmp_path: Path) -> None:
    graph = said_by(tmp_path, {"rules": {"graded": [0.5, 2.0, 1.0]}})
    network = lower(graph, resolve_dialect(graph))
    (projection,) = [p for p in network.projections if p.source == "lif1"]
    assert isinstance(projection.ops[0], Scale)
    np.testing.assert_array_equal(projection.ops[0].scale, np.array([0.5, 2.0, 1.0], np.float32))


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ("sinabs", "reset, subtract_value, max_spikes, min_v_mem, tau_syn and norm_input"),
        ("sinabs,reset=zero", "max_spikes, min_v_mem, tau_syn and norm_input"),
        ("sinabs,reset=subtract", "subtract_value, max_spikes, min_v_mem, tau_syn and norm_input"),
        ("norse", "dt, tau_scale, reset and v_reset"),
        ("norse,reset=zero", "dt and tau_scale"),
        ("norse,reset=value", "dt, tau_scale and v_reset"),
        ("norse,reset=subtract", "dt and tau_scale"),
    ],
)
def test_what_the_reset_makes_needless_is_not_asked(option: str, asked: str) -> None:
    with pytest.raises(DeployError) as caught:
        resolve_dialect(exported(option.partition(",")[0]), option)
    assert caught.value.what.endswith(f"the file does not say its {asked}")


def test_a_threshold_of_0_owes_no_reset_before_the_first_step() -> None:
    node = neuron("snntorch")
    node.v_threshold = np.array([0.0, 1.0, 1.0])
    network, _, _ = read_network(_in_memory(node, "input", "0", "1"), "snntorch,rest=default")
    assert network.population("1").rule.reset_delay
