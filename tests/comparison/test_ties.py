"""A difference that float32 rounding explains is a tie; any other is not."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from scipy.sparse import csc_array

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.backends.reference.neuron import Charged, Neuron, State
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.comparison.ties import ROUNDOFF, Bound, Sums, _sizes_of_sums, advance, is_tie, potentials
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear, Scale, Sparse
from tests.conftest import chain_edges, cuba, lif, save_nir


@pytest.mark.parametrize("neuron", [lif, cuba])
@pytest.mark.parametrize(
    "rules",
    [
        {"reset": "zero"},
        {"reset": "subtract"},
        {"reset": "subtract", "reset_delay": False},
        {"reset": "zero", "adapt_decay": 0.9, "adapt_gain": [0.2, 0.3]},
        {"reset": "zero", "adapt_decay": 0.9, "adapt_gain": 0.2, "adapts": "v"},
        {"reset": "zero", "adapt_decay": 0.99, "adapt_rate": 0.01, "adapt_order": "decay-test-add"},
        {"reset": "zero", "order": "use-decay-add", "reset_currents": True, "i_init": 0.1},
        {"reset": "subtract", "signed": True},
    ],
)
@pytest.mark.parametrize(("off", "expected"), [(0.0, True), (1e-6, True), (2e-3, False), (-2e-3, False)])
def test_only_a_potential_within_rounding_of_the_threshold_is_a_tie(
    tmp_path: Path, neuron: object, rules: dict[str, object], off: float, expected: bool
) -> None:
    """Neuron 0's threshold is put beside the highest potential that it reaches; neuron 1's is far off."""
    rng = np.random.default_rng(5)
    weight = rng.normal(0.1, 0.3, (2, 30)).astype(np.float32)
    x = (rng.random((21, 1, 30)) < 0.4).astype(np.uint8)

    def network(threshold: float) -> object:
        node = neuron((2,))  # type: ignore[operator]
        node.v_threshold = np.array([threshold, 1.0])
        nodes = {"input": nir.Input({"input": np.array([30])}), "fc": nir.Linear(weight), "n": node}
        nodes["output"] = nir.Output({"output": np.array([2])})
        return read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "fc", "n", "output"), rules))[0]

    options = RunOptions(record=("spikes", "v"))
    unreached = Reference().run(network(1e9), {"input": x}, options).nodes["n"]["v"][:, 0, 0]  # type: ignore[arg-type]
    t = int(unreached.argmax())
    probed = network(float(unreached[t]) + off)
    recording = Reference().run(probed, {"input": x}, options)  # type: ignore[arg-type]
    assert not recording.spikes("n")[:t, 0, 0].any()
    near = is_tie(probed, {"input": x}, recording, "n", 0, t)  # type: ignore[arg-type]
    assert bool(near[0]) == expected
    assert not near[1]


@pytest.mark.parametrize(("off", "status"), [(0.0, "pass"), (1e-6, "pass"), (1e-2, "fail")])
@pytest.mark.parametrize("threshold", [None, 1.0, 1e9])
def test_values_are_equal_within_what_float32_may_be_off(
    tmp_path: Path, rng: np.random.Generator, off: float, status: str, threshold: float | None
) -> None:
    """Of an integrator, or the potential of neurons that fire, or would if they could."""
    fires = threshold is not None
    ones = np.ones(3)
    li = nir.LI(tau=ones * 1e-3, r=10 * ones, v_leak=0 * ones)
    nodes = {
        "input": nir.Input({"input": np.array([30])}),
        "fc": nir.Linear(rng.normal(0, 0.3, (3, 30)).astype(np.float32)),
        "n": lif((3,), threshold=threshold) if threshold is not None else li,
        "output": nir.Output({"output": np.array([3])}),
    }
    network = read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges(*nodes), {"reset": "subtract"}))[0]
    inputs = {"input": (rng.random((12, 4, 30)) < 0.4).astype(np.uint8)}
    reference = Reference().run(network, inputs, RunOptions(membranes=("n",) if fires else ()))
    key = "v" if fires else "value"
    moved = reference.nodes["n"][key].copy()
    moved[7, 2, 1] += np.float32(off)
    trained = Recording({"n": {**reference.nodes["n"], key: moved}}, {})
    found = reference_equals(network, inputs, reference, trained, read=("n",) if fires else ())
    assert found["status"] == status
    if status == "fail":
        where = found["first_difference"]
        assert (where["what"], where["sample"], where["t"], where["unit"]) == (key, 2, 7, [1])


def test_a_recording_without_the_outputs_does_not_prove_them(fc_model: Path, rng: np.random.Generator) -> None:
    network = read_network(fc_model)[0]
    inputs = {name: (rng.random((8, 3, *shape)) < 0.4).astype(np.uint8) for name, shape in network.inputs.items()}
    reference = Reference().run(network, inputs, RunOptions())
    assert reference_equals(network, inputs, reference, reference)["status"] == "pass"
    hidden = Recording({n: o for n, o in reference.nodes.items() if n not in network.outputs}, {})
    found = reference_equals(network, inputs, reference, hidden)
    assert found["status"] == "not-run"
    assert f"lacks what the model returns ({network.outputs[0]}); equal in spikes of" in found["reason"]
    wrong = Recording({n: {"spikes": 1 - o["spikes"]} for n, o in hidden.nodes.items()}, {})
    broken = reference_equals(network, inputs, reference, wrong)
    assert broken["status"] == "fail"
    assert broken["reason"].startswith("they differ in spikes of 1 of 2 nodes on 3 samples; 1 nodes were not recorded")


@pytest.mark.parametrize(("off", "status"), [(0.0, "pass"), (1e-6, "pass"), (1e-2, "fail")])
def test_a_node_behind_an_integrator_is_replayed_on_its_potential(
    tmp_path: Path, rng: np.random.Generator, off: float, status: str
) -> None:
    ones = np.ones(3)
    li = nir.LI(tau=ones * 1e-3, r=10 * ones, v_leak=0 * ones)
    nodes = {
        "input": nir.Input({"input": np.array([30])}),
        "fc": nir.Linear(rng.normal(0, 0.3, (3, 30)).astype(np.float32)),
        "first": li,
        "fc2": nir.Linear(rng.normal(0, 0.3, (3, 3)).astype(np.float32)),
        "second": li,
        "output": nir.Output({"output": np.array([3])}),
    }
    network = read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges(*nodes), {"reset": "subtract"}))[0]
    inputs = {"input": (rng.random((12, 4, 30)) < 0.4).astype(np.uint8)}
    reference = Reference().run(network, inputs, RunOptions())
    moved = reference.nodes["second"]["value"].copy()
    moved[7, 2, 1] += np.float32(off)
    trained = Recording({"first": reference.nodes["first"], "second": {"value": moved}}, {})
    assert reference_equals(network, inputs, reference, trained)["status"] == status


def population(rule: NeuronRule, **parameters: object) -> Population:
    values = {"decay_mem": 0.5, "threshold": 4.0} | parameters
    return Population("n", (1,), rule, **values)  # type: ignore[arg-type]


def exact_neuron(rule: NeuronRule, **parameters: object) -> Neuron:
    return Neuron(population(rule, **parameters), torch.device("cpu"), torch.float64)


def one(value: float) -> torch.Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def in_roundings(bound: torch.Tensor) -> float:
    return float(bound) / ROUNDOFF


SUMS = Sums(one(8.0), one(ROUNDOFF * 24.0))
"""Three terms of sizes that sum to 8."""


@pytest.mark.parametrize(
    ("rule", "parameters", "v", "threshold"),
    [
        # r (|v| + X + |bias| + th), what was off before times the decay, and the input's own
        ({}, {}, 0.5 * 2 + 24 + 6 * (3 + 8 + 4), 0.0),
        ({}, {"threshold": 1e9}, 0.5 * 2 + 24 + 6 * 2 * (3 + 8), 0.0),
        ({}, {"bias": -1.0, "gain_mem": -2.0}, 0.5 * 2 + 2 * 24 + 6 * (3 + 16 + 1 + 4), 0.0),
        # di = decay_syn di + gain_syn dx + r (|i| + gain_syn X) enters v
        (
            {},
            {"decay_syn": 0.25, "gain_syn": -0.5},
            0.5 * 2 + (0.25 * 4 + 12 + 6 * (5 + 4)) + 6 * (3 + 9 + 4),
            0.0,
        ),
        (
            {},
            {"decay_syn": 0.25, "decay_second": 0.5, "gain_second": -2.0},
            0.5 * 2 + (0.25 * 4 + 24 + 6 * (5 + 8)) + (0.5 * 16 + 48 + 6 * (7 + 16)) + 6 * (3 + 13 + 23 + 4),
            0.0,
        ),
        # db = adapt_decay db + r (|b| + th + adapt_gain), and of the threshold at least as much
        (
            {},
            {"adapt_decay": 0.5, "adapt_gain": 2.0},
            0.5 * 2 + 24 + 6 * (3 + 8 + 4),
            2 * (0.5 * 8 + 6 * (9 + 4 + 2)),
        ),
        (
            {},
            {"adapt_decay": 0.5, "adapt_gain": 0.25},
            0.5 * 2 + 24 + 6 * (3 + 8 + 4),
            0.5 * 8 + 6 * (9 + 4 + 0.25),
        ),
        (
            {"adapts": "v"},
            {"adapt_decay": 0.5, "adapt_gain": 2.0},
            0.5 * 2 + (24 + 8) + 6 * (3 + 8 + 9 + 4),
            0.0,
        ),
    ],
)
def test_a_bound_grows_as_the_recurrence_says(
    rule: dict[str, object], parameters: dict[str, object], v: float, threshold: float
) -> None:
    exact = exact_neuron(NeuronRule(**rule), **parameters)  # type: ignore[arg-type]
    e = one(7.0) if exact.decay_second is not None else None
    i = one(5.0) if exact.decay_syn is not None else None
    b = one(-9.0) if exact.adapt_decay is not None else None
    before = State(one(-3.0), i, one(0.0), b, None, e)
    off = Bound(*(one(ROUNDOFF * n) for n in (2.0, 0.0)), (one(ROUNDOFF * 4), one(ROUNDOFF * 16)), one(ROUNDOFF * 8))
    found = advance(exact, off, before, Charged(one(0.0), one(4.0), i, e, b, None), SUMS)
    assert in_roundings(found.v) == pytest.approx(v, rel=1e-12)
    assert in_roundings(found.threshold) == pytest.approx(threshold, rel=1e-12)
    assert in_roundings(off.v) == 2.0


def test_a_sum_is_off_by_its_terms_times_their_sizes() -> None:
    """Of the projection of most spikes, with an addition for each operation and for each projection."""
    weight = np.array([[1.0, -2.0, 4.0]], np.float32)
    many = Projection("a", "n", (Linear(weight, np.array([-0.5], np.float32)), Scale(np.array([-2.0], np.float32))))
    few = Projection("b", "n", (Sparse(csc_array(np.array([[8.0, -16.0]], np.float32))),))
    sums = _sizes_of_sums((many, few))
    of_many = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    found = sums({many: of_many, few: torch.ones((3, 2), dtype=torch.float64)})
    np.testing.assert_array_equal(found.size, [[2 * 7.5 + 24], [2 * 2.5 + 24], [2 * 0.5 + 24]])
    np.testing.assert_array_equal(found.off / ROUNDOFF, [[(3 + 2 + 2) * 39], [(1 + 2 + 2) * 29], [(2 + 1 + 2) * 25]])


RULES: list[tuple[dict[str, object], dict[str, object]]] = [
    ({}, {}),
    ({"reset": "subtract"}, {"bias": 0.1, "gain_mem": 0.7}),
    ({"reset": "subtract", "reset_delay": True}, {"decay_syn": 0.8, "gain_syn": 1.3}),
    ({"reset": "subtract"}, {"decay_syn": 0.8, "decay_second": 0.6, "gain_second": -1.0}),
    ({}, {"adapt_decay": 0.9, "adapt_gain": 0.3}),
    ({"adapts": "v"}, {"adapt_decay": 0.9, "adapt_gain": 0.3}),
]


@pytest.mark.parametrize(("rule", "parameters"), RULES)
@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_a_float32_sum_leaves_the_bound(
    rule: dict[str, object], parameters: dict[str, object], seed: int
) -> None:
    """The reference sums 300 inputs in float32, and again with the inputs in another order."""
    rng = np.random.default_rng(seed)
    weight, order = rng.normal(0.02, 0.3, (20, 300)).astype(np.float32), rng.permutation(300)
    x = (rng.random((40, 2, 300)) < 0.3).astype(np.uint8)
    own = Population("n", (20,), NeuronRule(**rule), np.float32(0.93), np.float32(1.7), **parameters)  # type: ignore[arg-type]

    def network(weight: np.ndarray) -> Network:
        return Network({"in": (300,)}, (own,), (Projection("in", "n", (Linear(weight),)),), ("n",), 1e-3, "nir")

    options = RunOptions(record=("spikes", "v"))
    first = Reference().run(network(weight), {"in": x}, options)
    other = Reference().run(network(weight[:, order]), {"in": x[:, :, order]}, options)
    differs = (first.spikes("n") != other.spikes("n")).any(axis=(1, 2))
    rows = int(differs.argmax()) if differs.any() else len(x)
    assert rows > 5
    offs = []
    for t, step in enumerate(potentials(network(weight), {"in": x}, first, "n", slice(None), rows)):
        for recording in (first, other):
            off = np.abs(recording.nodes["n"]["v"][t] - step.carried.numpy())
            assert (off <= step.off_v.numpy()).all()
            offs.append(off)
    assert np.max(offs) > 0


COUNTS: dict[str, object] = {"reset": "subtract", "max_spikes": None}
ADAPTS: dict[str, object] = {"adapt_decay": 0.5, "adapt_gain": 50.0}


@pytest.mark.parametrize(
    ("rule", "parameters", "v", "expected"),
    [
        ({"reset": "subtract"}, {}, 2.0, True),
        ({"reset": "subtract"}, {}, 4.0, False),  # it fires once in any case
        ({"reset": "subtract"}, {}, 0.001, False),
        ({"reset": "subtract"}, {}, -2.0, False),
        (COUNTS, {}, 2.0, True),
        (COUNTS, {}, 6.0, True),
        (COUNTS, {}, 5.0, False),
        (COUNTS, {}, 0.001, False),
        (COUNTS, {}, -6.0, False),
        (COUNTS | {"signed": True}, {}, -6.0, True),
        (COUNTS | {"max_spikes": 2}, {}, 4.0, True),
        (COUNTS | {"max_spikes": 2}, {}, 6.0, False),
        (COUNTS | {"rounds": True}, {}, 5.0, True),
        (COUNTS | {"rounds": True}, {}, 1.0, True),
        (COUNTS | {"rounds": True}, {}, 6.0, False),
        (COUNTS, ADAPTS, 6.0 + 1e-4, True),  # within what the raised threshold may be off by, three times over
        (COUNTS, {}, 6.0 + 1e-4, False),
        ({"output_delay": 1}, {}, 2.0, True),
        ({"output_delay": 1}, {}, 4.0, False),
    ],
)
def test_a_count_is_a_tie_where_v_is_beside_the_next_multiple(
    rule: dict[str, object], parameters: dict[str, object], v: float, expected: bool
) -> None:
    """One spike of weight v meets a neuron whose threshold is 2, in the second of three samples."""
    own = Population("n", (1,), NeuronRule(**rule), np.float32(0.5), np.float32(2.0), **parameters)  # type: ignore[arg-type]
    projection = Projection("in", "n", (Linear(np.array([[v]], np.float32)),))
    network = Network({"in": (1,)}, (own,), (projection,), ("n",), 1e-3, "nir")
    x = np.zeros((4, 3, 1), np.uint8)
    x[0, 1] = 1
    recording = Reference().run(network, {"in": x}, RunOptions())
    assert is_tie(network, {"in": x}, recording, "n", 1, own.rule.output_delay).tolist() == [expected]
