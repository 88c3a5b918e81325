"""Questions that a file leaves open are asked, or answered aloud."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.losses import LOSSES
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import graph_from_nir
from neurodeploy.importers.settle import resolve_dialect
from tests.conftest import chain_edges
from tests.importers.exported import ONES, STEPS, ZEROS, N, exported, graph_of, in_memory, neuron

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


def test_edges_that_meet_are_asked_about_where_a_tracer_loses_sums() -> None:
    """A layer that is called twice, and one that is called once beside a sum, leave the same edges."""
    graph = in_memory(neuron("snntorch"), "input", "fc", "lif")
    graph.edges += [("lif", "fc")]
    with pytest.raises(DeployError, match="its called, reset") as caught:
        resolve_dialect(graph_from_nir(graph), "snntorch")
    assert "called: Export the model from its module" in caught.value.fix
    with pytest.raises(DeployError, match="called of 'fc' cannot be 'again'"):
        resolve_dialect(graph_from_nir(graph), "snntorch,called=again,rest=default")
    evidence = resolve_dialect(graph_from_nir(graph), "snntorch,rest=default").evidence
    assert any(line.startswith("assumed: called = once for fc ") for line in evidence)


def test_the_edges_of_recurrent_weights_are_not_asked_about() -> None:
    graph = in_memory(neuron("snntorch"), "input", "fc", "lif")
    graph.nodes["w_rec"] = nir.Linear(np.eye(N))
    graph.edges += [("lif", "w_rec"), ("w_rec", "lif")]
    assert "called" not in str(resolve_dialect(graph_from_nir(graph), "snntorch,rest=default").evidence)


@pytest.mark.parametrize("name", ["lif", "lif1", "block_0"])
def test_neurons_named_as_a_second_call_are_asked_about_in_spikingjelly(name: str) -> None:
    graph = in_memory(neuron("spikingjelly"), "x", "fc", name)
    graph.nodes[f"{name}_1"] = neuron("spikingjelly")
    graph.edges += [(name, f"{name}_1")]
    with pytest.raises(DeployError, match=rf"node '{name}_1' is read as spikingjelly, .* its called"):
        resolve_dialect(graph_from_nir(graph), "spikingjelly")


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
