"""Which dialect a graph is read in: the option, then the file; what nobody says is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.detect import detect
from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir, read_graph
from neurodeploy.importers.settle import settle_dialect
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
        settle_dialect(read_graph(silent_model))
    assert "--dialect snntorch,reset=subtract" in caught.value.fix


def test_a_reset_that_nobody_says_is_asked_for(silent_model: Path) -> None:
    with pytest.raises(DeployError, match=r"node 'lif[12]' is read as snntorch, and the file does not say its reset"):
        settle_dialect(read_graph(silent_model), "snntorch")


def test_a_time_step_that_nobody_says_is_asked_for(silent_model: Path) -> None:
    with pytest.raises(DeployError, match="the file does not say its dt"):
        settle_dialect(read_graph(silent_model), "nir")


def test_the_option_wins_over_the_file(fc_model: Path) -> None:
    graph = read_graph(fc_model)
    assert settle_dialect(graph).settings["lif1"].reset == "value"
    assert settle_dialect(graph, "reset=subtract").settings["lif1"].reset == "subtract"


def test_a_node_can_differ_from_the_graph(fc_model: Path) -> None:
    settings = settle_dialect(read_graph(fc_model), "snntorch,reset=zero,lif2:reset_delay=false").settings
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
    settings = settle_dialect(read_graph(fc_model), option).settings
    assert settings["lif1"].reset_delay
    assert not settings["lif2"].reset_delay


def test_snntorchs_late_reset_drops_the_input_of_nodes_with_a_current(silent_model: Path) -> None:
    settings = settle_dialect(read_graph(silent_model), "snntorch,reset=zero").settings
    assert not settings["lif1"].reset_drops_input
    assert settings["lif2"].reset_drops_input


def test_what_was_chosen_is_said(fc_model: Path) -> None:
    evidence = settle_dialect(read_graph(fc_model), "reset=subtract").evidence
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
        ("snntorch,reset", "'reset' is no key=value"),
        ("snntorch,lif9:reset=zero", "there is no neuron 'lif9'"),
        ("nir,dt=0", "dt cannot be '0'"),
        ("snntorch,reset_delay=maybe", "reset_delay cannot be 'maybe'"),
    ],
)
def test_an_option_that_means_nothing_is_refused(fc_model: Path, option: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        settle_dialect(read_graph(fc_model), option)


N = 3
ONES, ZEROS = np.ones(N), np.zeros(N)
DT = 1e-4


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
            return nir.LIF(tau=2 * DT * ONES, r=ONES, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)
    tau = np.array([2.0, 5.0, 10.0])
    return nir.LIF(tau=tau, r=1 - 1 / tau, v_leak=ZEROS, v_threshold=ONES, v_reset=ZEROS)


def graph_of(node: Any, entry: str = "input") -> NirGraph:
    nodes = {
        entry: nir.Input({"input": np.array([N])}),
        "fc": nir.Linear(np.eye(N)),
        "lif": node,
        "output": nir.Output({"output": np.array([N])}),
    }
    return graph_from_nir(nir.NIRGraph(nodes, chain_edges(entry, "fc", "lif", "output"), type_check=False))


@pytest.mark.parametrize("dialect", ["snntorch", "norse", "sinabs", "rockpool", "spikingjelly", "spyx"])
def test_each_exporter_is_recognised_by_its_parameters(dialect: str) -> None:
    candidates = detect(graph_of(neuron(dialect), "input_1" if dialect == "spikingjelly" else "input"))
    assert [candidate.name for candidate in candidates] == [dialect]
    assert candidates[0].evidence


def test_norses_time_constants_are_brought_to_seconds() -> None:
    settled = settle_dialect(graph_of(neuron("norse")), "norse,v_reset=0")
    assert settled.settings["lif"].tau_scale == 1000


def test_rockpools_time_step_is_found_in_its_gain() -> None:
    settled = settle_dialect(graph_of(neuron("rockpool")), "bias=0,max_spikes=1")
    assert settled.name == "rockpool"
    assert settled.settings["lif"].dt == pytest.approx(1e-3)


def test_several_frameworks_that_can_be_are_all_named() -> None:
    same = nir.IF(r=ONES, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match=r"It can be norse: .* It can be sinabs: ") as caught:
        settle_dialect(graph_of(same))
    assert "--dialect with one of norse, sinabs" in caught.value.fix


def test_parameters_of_no_exporter_are_said_to_be_so() -> None:
    odd = nir.LIF(tau=0.02 * ONES, r=np.array([2.0, 7, 40]), v_leak=0.3 * ONES, v_threshold=ONES, v_reset=ZEROS)
    with pytest.raises(DeployError, match="Its parameters are those of no exporter that is known"):
        settle_dialect(graph_of(odd))


LOST_KEYS = {
    "snntorch": ["reset"],
    "norse": ["v_reset"],
    "sinabs": ["reset", "max_spikes", "min_v_mem", "norm_input"],
    "rockpool": ["bias", "max_spikes"],
}


@pytest.mark.parametrize("dialect", LOST_KEYS)
def test_what_a_detected_exporter_drops_is_asked_for(dialect: str) -> None:
    with pytest.raises(DeployError, match=f"is read as {dialect}, and the file does not say") as caught:
        settle_dialect(graph_of(neuron(dialect)))
    for key in LOST_KEYS[dialect]:
        assert key in caught.value.what
        assert f"{key}=" in caught.value.fix


@pytest.mark.parametrize("dialect", ["norse", "sinabs", "rockpool"])
def test_what_a_named_exporter_drops_is_assumed_and_said(dialect: str) -> None:
    settled = settle_dialect(graph_of(neuron(dialect)), dialect)
    for key in LOST_KEYS[dialect]:
        assert f"{key}: {dialect}'s default is assumed; the file does not say it" in settled.evidence


def test_sinabs_defaults_are_its_layers_own() -> None:
    settings = settle_dialect(graph_of(neuron("sinabs")), "sinabs").settings["lif"]
    assert (settings.reset, settings.max_spikes, settings.min_v_mem, settings.gain) == ("subtract", 0, None, "norm")


@pytest.mark.parametrize("dialect", ["spikingjelly", "spyx"])
def test_exporters_that_drop_nothing_are_read_without_options(dialect: str) -> None:
    graph = graph_of(neuron(dialect), "input_1" if dialect == "spikingjelly" else "input")
    assert settle_dialect(graph).name == dialect


def test_a_rule_of_a_node_wins_over_that_of_the_graph() -> None:
    node = neuron("spyx")
    node.metadata = {"neurodeploy": '{"rules": {"spike": ">="}}'}
    assert settle_dialect(graph_of(node)).settings["lif"].spike == ">="
