from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.families.xylo import definition
from neurodeploy.families.xylo.layout import Layout, lay_out
from neurodeploy.families.xylo.population import XyloPopulation
from neurodeploy.ir.codes import CodedProjection


def population(name: str, n: int, latency: int, role: str = "hidden", **given: Any) -> XyloPopulation:
    codes = {"dash_syn": 1, "dash_mem": 0, "threshold_code": 4, "bias_code": 0, "units": 4.0} | given
    arrays = {key: np.full(n, value) for key, value in codes.items()}
    return XyloPopulation(name, (n,), latency, 4.0, role, **arrays)


def projection(source: str, target: str, weight: Any, exponent: int = 2) -> CodedProjection:
    return CodedProjection(source, target, np.array(weight, np.int16), exponent, 8, "mixed", 1)


def network(**exponents: int) -> Layout:
    """An input of 2, hidden populations of 1 and 2 neurons, an output: each spike leads to one of the next layer.

    A weight of 2 << 2 = 8 brings a current of 4, the threshold, in its first step, and then 2 and 1, which v forgets.
    """
    given = {"rec": 2, "in": 2} | exponents
    return lay_out(
        {"x": (2,)},
        (population("late", 2, 1), population("early", 1, 0), population("read", 1, 2, "output")),
        (
            projection("x", "early", [[2, 0]], given["in"]),
            projection("early", "late", [[2], [0]], given["rec"]),
            projection("late", "late", [[0, 0], [1, 0]], 2),
            projection("late", "read", [[2, 0]]),
        ),
    )


def test_populations_lie_in_order_of_their_latency() -> None:
    layout = network()
    assert layout.places == {"early": slice(0, 1), "late": slice(1, 3), "read": slice(0, 1)}
    assert layout.codes.weight_in[:, 0].tolist() == [[2, 0, 0], [0, 0, 0]]
    assert layout.codes.weight_rec[:, 0].tolist() == [[0, 2, 0], [0, 0, 1], [0, 0, 0]]
    assert layout.codes.weight_out[:, 0].tolist() == [[0], [2], [0]]


def test_rows_come_in_the_models_time() -> None:
    layout = network()
    x = np.zeros((4, 1, 2), np.uint8)
    x[1, 0, 0] = 1
    counts = layout.counts({"x": x})
    assert counts.shape == (6, 1, 2)
    run = definition.run(layout.codes, counts)
    for name in ("early", "late", "read"):
        rows = layout.rows(run, name)
        assert rows["spikes"].shape == (4, 1, 2 if name == "late" else 1)
        assert rows["spikes"][:, 0, 0].tolist() == [0, 1, 0, 0]
        assert rows["i"][:, 0, 0].tolist() == [0, 4, 2, 1]


def test_one_matrix_has_one_shift() -> None:
    with pytest.raises(ValueError, match=r"matrix 'rec' has one shift, but its projections have \[2, 3\]"):
        network(rec=3)


def test_synapses_that_the_chip_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="no synapses for x -> read"):
        lay_out({"x": (1,)}, (population("read", 1, 1, "output"),), (projection("x", "read", [[1]]),))


def test_parallel_synapses_add_up() -> None:
    two = [projection("x", "a", [[3]]), projection("x", "a", [[4]])]
    assert lay_out({"x": (1,)}, (population("a", 1, 0),), two).codes.weight_in.tolist() == [[[7]]]


@pytest.mark.parametrize(
    ("key", "code"), [("threshold_code", 0), ("dash_syn", 16), ("dash_mem", -1), ("bias_code", 40000)]
)
def test_codes_that_no_register_holds_are_faults(key: str, code: int) -> None:
    (fault,) = population("a", 1, 0, **{key: code}).faults()
    assert f"a: {key} is {code} to {code}" in fault


def test_codes_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="dash_mem that is not whole"):
        population("a", 1, 0, dash_mem=1.5)


def test_hidden_neurons_send_counts_and_outputs_do_not() -> None:
    assert population("a", 1, 0).is_graded
    assert not population("a", 1, 0, "output").is_graded
