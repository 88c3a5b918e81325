"""The framework and the time step that a graph's parameters tell of."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from neurodeploy.importers.detect import Candidate, detect, fits, norse_scale
from neurodeploy.importers.losses import called_again, proven_time_step, read_time_step
from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir
from tests.conftest import chain_edges

BETA = np.array([0.9, 0.8])
DT = 1e-4
KINDS = {"LIF": nir.LIF, "CubaLIF": nir.CubaLIF, "IF": nir.IF, "LI": nir.LI, "Threshold": nir.Threshold}
KEYS = {
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "Threshold": ("threshold",),
}


def neuron(kind: str, **values: Any) -> Any:
    """Return two neurons of a kind, at rest 0 and with a threshold of 1, but for what is given."""
    given = {"v_leak": 0.0, "v_reset": 0.0, "v_threshold": 1.0, "threshold": 1.0, "r": 1.0, "w_in": 1.0, **values}
    return KINDS[kind](**{key: np.broadcast_to(np.asarray(given[key], np.float64), 2).copy() for key in KEYS[kind]})


def graph(*neurons: Any, names: tuple[str, str, str] = ("input", "n", "output")) -> NirGraph:
    first, middle, last = names
    nodes = {
        first: nir.Input({"input": np.array([2])}),
        **{f"{middle}{i}": node for i, node in enumerate(neurons)},
        last: nir.Output({"output": np.array([2])}),
    }
    return graph_from_nir(nir.NIRGraph(nodes, chain_edges(*nodes), type_check=False))


def leaky(beta: NDArray[Any] = BETA, dt: float = DT, **values: Any) -> dict[str, Any]:
    """Return tau and r as snnTorch writes them."""
    return {"tau": dt / (1 - beta), "tau_mem": dt / (1 - beta), "r": 1 / (1 - beta), **values}


def rockpools(dt: float = 1e-3, **values: Any) -> dict[str, Any]:
    tau = np.array([0.02, 0.01])
    return {"tau": tau, "tau_mem": tau, "r": tau / dt * np.exp(-dt / tau), **values}


def spyxs(dt: float = 1.0, **values: Any) -> dict[str, Any]:
    return {"tau": dt / (1 - BETA), "tau_mem": dt / (1 - BETA), "r": BETA, **values}


CURRENT = {"tau_syn": DT / 0.3, "w_in": 1 / 0.3}
TRACED = ("input_1", "_", "output")


def found(of: NirGraph, name: str) -> Candidate | None:
    return next((candidate for candidate in detect(of) if candidate.name == name), None)


@pytest.mark.parametrize(
    ("name", "neurons", "names", "is_certain"),
    [
        ("snntorch", [neuron("LIF", **leaky())], ("input", "n", "output"), True),
        ("snntorch", [neuron("CubaLIF", **leaky(), **CURRENT)], ("input", "n", "output"), True),
        ("snntorch", [neuron("LIF", **leaky(dt=1e-3))], ("input", "n", "output"), False),
        ("snntorch", [neuron("LIF", **leaky())], ("in", "n", "output"), False),
        ("snntorch", [neuron("LIF", tau=DT)], ("input", "n", "output"), False),
        ("spikingjelly", [neuron("LIF", **leaky())], TRACED, True),
        ("spikingjelly", [neuron("LIF", **leaky(v_leak=0.5, v_reset=0.5))], TRACED, True),
        ("spikingjelly", [neuron("IF", r=1 / DT), neuron("LIF", **leaky())], TRACED, True),
        ("spikingjelly", [neuron("IF", r=1 / DT)], ("input_1", "a", "output"), False),
        ("spikingjelly", [neuron("LIF", tau=0.1)], TRACED, False),
        ("norse", [neuron("LIF", tau=0.999), neuron("LI", tau=0.1)], ("input", "n", "output"), False),
        ("norse", [neuron("CubaLIF", tau_mem=0.1, tau_syn=0.2)], ("input", "n", "output"), False),
        ("norse", [neuron("IF")], ("input", "n", "output"), False),
        ("sinabs", [neuron("LIF", tau=1.0), neuron("LI", tau=9.0), neuron("IF")], ("input", "n", "output"), False),
        ("rockpool", [neuron("LIF", **rockpools())], ("input", "n", "output"), True),
        ("rockpool", [neuron("LI", **rockpools(2.5e-3))], ("input", "n", "output"), True),
        ("spyx", [neuron("LIF", **spyxs())], ("input", "n", "output"), True),
        ("spyx", [neuron("LIF", tau=10.0, r=0.9)], ("input", "n", "output"), False),
    ],
)
def test_a_graph_fits_the_framework_that_writes_it_so(
    name: str, neurons: list[Any], names: tuple[str, str, str], is_certain: bool
) -> None:
    one = graph(*neurons, names=names)
    candidate = found(one, name)
    assert candidate is not None
    assert candidate.is_certain == is_certain
    assert fits(one, name)


@pytest.mark.parametrize(
    ("name", "neurons", "names"),
    [
        ("snntorch", [neuron("LIF", **leaky(v_leak=0.1))], ("input", "n", "output")),
        ("snntorch", [neuron("LIF", **leaky(v_reset=0.1))], ("input", "n", "output")),
        ("snntorch", [neuron("CubaLIF", **leaky(), tau_syn=DT / 0.3, w_in=3.0)], ("input", "n", "output")),
        ("snntorch", [neuron("LIF", **leaky()), neuron("LI", **leaky())], ("input", "n", "output")),
        ("snntorch", [neuron("LIF", tau=0.1, r=[3, 5])], ("input", "n", "output")),
        ("spikingjelly", [neuron("LIF", **leaky())], ("input", "n", "output")),
        ("spikingjelly", [neuron("LIF", **leaky(v_leak=0.5))], TRACED),
        ("spikingjelly", [neuron("LIF", tau=0.1, r=[3, 5])], TRACED),
        ("spikingjelly", [neuron("IF", r=[3, 5])], TRACED),
        ("spikingjelly", [neuron("LI", **leaky())], TRACED),
        ("norse", [neuron("LIF", tau=1.0)], ("input", "n", "output")),
        ("norse", [neuron("CubaLIF", tau_mem=0.1, tau_syn=1.0)], ("input", "n", "output")),
        ("norse", [neuron("CubaLIF", tau_mem=0.1, tau_syn=0.1, w_in=2.0)], ("input", "n", "output")),
        ("norse", [neuron("LIF", tau=0.1, r=2.0)], ("input", "n", "output")),
        ("norse", [neuron("Threshold")], ("input", "n", "output")),
        ("sinabs", [neuron("LIF", tau=[1.0, 0.99])], ("input", "n", "output")),
        ("sinabs", [neuron("LIF", tau=2.0, r=2.0)], ("input", "n", "output")),
        ("sinabs", [neuron("CubaLIF", tau_mem=2.0, tau_syn=2.0)], ("input", "n", "output")),
        ("rockpool", [neuron("LIF", **rockpools(1.23e-3))], ("input", "n", "output")),
        ("rockpool", [neuron("LIF", **rockpools()), neuron("IF")], ("input", "n", "output")),
        ("rockpool", [neuron("LIF", tau=0.1, r=[3, 5])], ("input", "n", "output")),
        ("spyx", [neuron("LIF", tau=10.0, r=1.0)], ("input", "n", "output")),
        ("spyx", [neuron("IF"), neuron("LI", tau=10.0)], ("input", "n", "output")),
    ],
)
def test_one_parameter_that_a_framework_never_writes_excludes_it(
    name: str, neurons: list[Any], names: tuple[str, str, str]
) -> None:
    one = graph(*neurons, names=names)
    assert found(one, name) is None
    assert not fits(one, name)
    assert fits(one, "nir")


@pytest.mark.parametrize(
    ("name", "neurons", "dt"),
    [
        ("snntorch", [neuron("LIF", **leaky(dt=2e-3))], 2e-3),
        ("snntorch", [neuron("LIF", **leaky(np.array([0.9, 0.0])))], DT),  # r = 1 tells nothing
        ("snntorch", [neuron("LIF", tau=DT)], None),
        ("snntorch", [neuron("LIF", **leaky()), neuron("LIF", **leaky(dt=2e-4))], None),
        ("snntorch", [neuron("LIF", **leaky(dt=-DT))], None),
        ("spikingjelly", [neuron("IF", r=1000.0)], 1e-3),
        ("spikingjelly", [neuron("LIF", **leaky())], DT),
        ("rockpool", [neuron("LIF", **rockpools())], 1e-3),
        ("spyx", [neuron("LIF", **spyxs(0.5))], 0.5),
        ("spyx", [neuron("Threshold")], None),
        ("norse", [neuron("LIF", tau=0.1)], None),
        ("snntorch", [], None),
    ],
)
def test_the_time_step_is_read_off_what_an_exporter_writes(name: str, neurons: list[Any], dt: float | None) -> None:
    nodes = [node for node in graph(*neurons).nodes.values() if node.kind in KINDS]
    assert read_time_step(name, nodes) == dt


def test_float32_hides_no_time_step_and_several_time_constants_prove_it() -> None:
    rounded = {key: np.float32(value) for key, value in leaky(dt=7e-4).items()}
    (node,) = [node for node in graph(neuron("LIF", **rounded)).nodes.values() if node.kind == "LIF"]
    assert read_time_step("snntorch", [node]) == 7e-4
    assert proven_time_step("snntorch", node) == 7e-4
    (node,) = [node for node in graph(neuron("LIF", tau=1e-3, r=10.0)).nodes.values() if node.kind == "LIF"]
    assert read_time_step("snntorch", [node]) == DT
    assert proven_time_step("snntorch", node) is None


def test_modules_that_are_called_again_are_seen_by_the_edges_or_names_that_are_left() -> None:
    ones = np.ones((2, 2))
    nodes = {
        "input": nir.Input({"input": np.array([2])}), "fc": nir.Linear(ones), "lif": neuron("LIF", **leaky()),
        "lif.w_rec": nir.Linear(ones), "lif_1": neuron("LIF", **leaky()),
        "output": nir.Output({"output": np.array([2])}),
    }  # fmt: skip
    edges = [*chain_edges("input", "fc", "lif", "lif_1", "output"), ("lif", "lif.w_rec"), ("lif.w_rec", "lif")]
    once = graph_from_nir(nir.NIRGraph(nodes, edges, type_check=False))
    again = graph_from_nir(nir.NIRGraph(nodes, [*edges, ("lif_1", "fc")], type_check=False))
    assert called_again(once, "snntorch") == []
    assert called_again(again, "snntorch") == ["fc"]
    assert called_again(once, "spikingjelly") == ["lif_1"]
    assert called_again(again, "spyx") == []


@pytest.mark.parametrize(("tau", "scale"), [(0.99e-3, 1e3), (1.01e-3, 1.0), (2e-4, 1e3), (5e-3, 1.0)])
def test_time_constants_below_a_millisecond_are_norses_times_a_thousand(tau: float, scale: float) -> None:
    assert norse_scale(graph(neuron("LIF", tau=tau)).nodes["n0"]) == scale


def test_the_longest_time_constant_tells_norses_unit() -> None:
    assert norse_scale(graph(neuron("CubaLIF", tau_mem=2e-4, tau_syn=5e-3)).nodes["n0"]) == 1.0
    assert norse_scale(graph(neuron("CubaLIF", tau_mem=2e-4, tau_syn=3e-4)).nodes["n0"]) == 1e3
    assert norse_scale(graph(neuron("LIF", tau=[2e-4, np.inf])).nodes["n0"]) == 1e3


@pytest.mark.parametrize("kinds", [("IF",), ("LI", "Threshold"), ("IF", "LI")])
def test_spyxs_neurons_without_a_leak_that_tells_may_be_spyxs(kinds: tuple[str, ...]) -> None:
    """PSU_LIF is an LI and a Threshold; an LI alone, spyx does not write."""
    ones = np.ones(2)
    of_kind = {"IF": nir.IF(ones, ones), "LI": nir.LI(2 * ones, ones, 0 * ones), "Threshold": nir.Threshold(ones)}
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        **{kind: of_kind[kind] for kind in kinds},
        "output": nir.Output({"output": np.array([2])}),
    }
    candidate = found(graph_from_nir(nir.NIRGraph(nodes, chain_edges(*nodes), type_check=False)), "spyx")
    assert (candidate is not None) is (kinds != ("IF", "LI"))
    assert candidate is None or not candidate.is_certain


def test_decays_beyond_0_to_1_that_training_leaves_are_spyxs_but_not_certainly() -> None:
    beta = np.array([1.1, -0.1, 0.5])
    node = nir.LIF(tau=1 / (1 - beta), r=beta, v_leak=np.zeros(3), v_threshold=np.ones(3), v_reset=np.zeros(3))
    ports = {"input": nir.Input({"input": np.array([3])}), "output": nir.Output({"output": np.array([3])})}
    one = nir.NIRGraph({**ports, "lif": node}, chain_edges("input", "lif", "output"), type_check=False)
    assert [(c.name, c.is_certain) for c in detect(graph_from_nir(one))] == [("spyx", False)]
