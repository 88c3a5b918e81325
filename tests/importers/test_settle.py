"""Which dialect a graph is read in: the option, then the file; what nobody says is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.detect import detect
from neurodeploy.importers.lower import lower, read_network
from neurodeploy.importers.nir_graph import graph_from_nir, read_graph
from neurodeploy.importers.settle import resolve_dialect
from neurodeploy.ir.synapses import Scale
from tests.conftest import chain_edges, cuba, lif, save_nir
from tests.importers.exported import ONES, ZEROS, N, exported, graph_in_memory, graph_of, in_memory, neuron, said_by


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


def test_sinabs_defaults_are_its_layers_own() -> None:
    settings = resolve_dialect(graph_of(neuron("sinabs")), "sinabs,rest=default").settings["lif"]
    assert (settings.reset, settings.max_spikes, settings.min_v_mem, settings.gain) == ("subtract", 0, None, "norm")


def test_an_exporter_that_drops_nothing_is_read_without_options() -> None:
    assert resolve_dialect(exported("spikingjelly")).name == "spikingjelly"


@pytest.mark.parametrize("dialect", ["snntorch,rest=default", "spyx,rest=default"])
def test_a_negative_threshold_is_refused_where_it_owes_a_reset_before_the_first_step(dialect: str) -> None:
    node = neuron(dialect.partition(",")[0])
    node.v_threshold = np.array([-0.3, 1.0, 1.0])
    graph = in_memory(node, "input", "layer_0", "layer_1")
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


def test_a_state_that_would_change_its_sign_is_refused() -> None:
    node = nir.LIF(tau=np.array([5e-4, 1e-3, 2e-3]), r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match=r"tau down to 0\.0005 s, which is below its time step of 0\.001 s"):
        read_network(in_memory(node, "input", "fc", "lif"), "nir,dt=1e-3")
    with pytest.raises(DeployError, match=r"below its time step of 0\.005 s"):
        read_network(in_memory(node, "input", "fc", "lif"), "norse,tau_scale=1,dt=0.005,rest=default")


def test_what_enters_rockpools_readout_decays_with_the_rest() -> None:
    tau, dt = np.array([0.01, 0.02, 0.03]), 1e-3
    node = nir.LI(tau=tau, r=tau / dt * np.exp(-dt / tau), v_leak=ZEROS)
    readout = read_network(in_memory(node, "input", "fc", "lif"), "rockpool,noise_std=0")[0].population("lif")
    np.testing.assert_allclose(readout.decay_mem, np.exp(-dt / tau), rtol=1e-6)
    np.testing.assert_allclose(readout.gain_mem, np.exp(-dt / tau), rtol=1e-6)


@pytest.mark.parametrize("pairs", [[["lif1"]], [["lif1", "lif2", "lif2"]], [["lif1", "lif3"]], ["ab"], "lif1"])
def test_delayed_edges_that_are_no_pairs_of_neurons_are_refused(tmp_path: Path, pairs: Any) -> None:
    with pytest.raises(DeployError, match="delayed_edges are") as caught:
        resolve_dialect(said_by(tmp_path, {"delayed_edges": pairs}))
    assert "m.nir" in caught.value.where
    assert resolve_dialect(said_by(tmp_path, {"delayed_edges": [["lif1", "lif2"]]})).delayed == (("lif1", "lif2"),)


def test_a_factor_of_spikes_by_neuron_weighs_what_the_next_layer_gets(tmp_path: Path) -> None:
    graph = said_by(tmp_path, {"rules": {"graded": [0.5, 2.0, 1.0]}})
    network = lower(graph, resolve_dialect(graph))
    (projection,) = [p for p in network.projections if p.source == "lif1"]
    assert isinstance(projection.ops[0], Scale)
    np.testing.assert_array_equal(projection.ops[0].scale, np.array([0.5, 2.0, 1.0], np.float32))


def test_a_threshold_of_0_owes_no_reset_before_the_first_step() -> None:
    node = neuron("snntorch")
    node.v_threshold = np.array([0.0, 1.0, 1.0])
    network, _, _ = read_network(in_memory(node, "input", "0", "1"), "snntorch,rest=default")
    assert network.population("1").rule.reset_delay
