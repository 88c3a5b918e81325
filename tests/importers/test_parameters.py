"""Which gains NIR's equations need to have a dialect's, and what of time constants and thresholds is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.importers.dialects import DIALECTS, OF_KIND, Settings
from neurodeploy.importers.nir_graph import graph_from_nir
from neurodeploy.importers.parameters import kept_share, parameter_findings, right_r, right_w_in
from neurodeploy.importers.settle import Dialect
from tests.conftest import chain_edges
from tests.importers.test_detect import DT, graph, leaky, neuron

SNNTORCH = replace(DIALECTS["snntorch"], reset="zero")


@pytest.mark.parametrize(
    ("settings", "tau", "kept"),
    [
        (SNNTORCH, DT * 4, 0.75),
        (replace(SNNTORCH, dt=None), 4.0, 0.75),
        (replace(SNNTORCH, decay="exp"), DT * 2, np.exp(-0.5)),
        (DIALECTS["norse"], 4e-3, 0.75),
        (replace(DIALECTS["norse"], tau_scale=1e3), 4e-6, 0.75),
        (SNNTORCH, np.inf, 1.0),
        (SNNTORCH, -1.0, 1.0),
        (SNNTORCH, DT / 2, 0.0),
    ],
)
def test_a_state_keeps_what_its_time_constant_says(settings: Settings, tau: float, kept: float) -> None:
    assert kept_share(np.array([tau]), settings)[0] == pytest.approx(kept)


@pytest.mark.parametrize(
    ("dialect", "kind", "values", "expected"),
    [
        ("snntorch", "LIF", leaky(), [10, 5]),
        ("norse", "LIF", leaky(), None),  # r is the gain itself
        ("sinabs", "LIF", {"tau": 10.0}, [1, 1]),
        ("norse", "IF", {}, [1000, 1000]),
        ("sinabs", "IF", {}, [1, 1]),
        ("snntorch", "Threshold", {}, None),
    ],
)
def test_r_has_the_dialects_gain(dialect: str, kind: str, values: dict[str, Any], expected: Any) -> None:
    settings = replace(DIALECTS[dialect], **OF_KIND.get((dialect, kind), {}))
    found = right_r(graph(neuron(kind, **values)).nodes["n0"], settings)
    assert (None if found is None else pytest.approx(found)) == expected


@pytest.mark.parametrize(("order", "expected"), [("decay-add", 4.0), ("add-decay", 3.0)])
def test_w_in_has_the_dialects_jump(order: str, expected: float) -> None:
    node = graph(neuron("CubaLIF", **leaky(), tau_syn=4 * DT)).nodes["n0"]
    found = right_w_in(node, replace(SNNTORCH, order=order))
    assert found is not None
    np.testing.assert_allclose(found, [expected, expected])
    assert right_w_in(node, replace(SNNTORCH, gain_syn="euler")) is None
    assert right_w_in(graph(neuron("LIF", **leaky())).nodes["n0"], SNNTORCH) is None


def codes(kind: str, settings: Settings | None = SNNTORCH, metadata: Any = None, **values: Any) -> dict[str, str]:
    nodes = {
        "input": nir.Input({"input": np.array([2])}), "n0": neuron(kind, **values),
        "output": nir.Output({"output": np.array([2])}),
    }  # fmt: skip
    one = graph_from_nir(nir.NIRGraph(nodes, chain_edges(*nodes), metadata=metadata or {}, type_check=False))
    settled = None if settings is None else Dialect("snntorch", {"n0": settings}, ())
    return {found.code: found.severity for found in parameter_findings(one, settled)}


def test_parameters_as_the_exporter_writes_them_are_fine() -> None:
    assert codes("LIF", **leaky()) == {}
    assert codes("CubaLIF", **leaky(), tau_syn=4 * DT, w_in=4.0) == {}


@pytest.mark.parametrize(
    ("kind", "values", "code"),
    [
        ("LIF", leaky(r=[10, 5.1]), "r-unscaled"),
        ("CubaLIF", leaky(tau_syn=4 * DT, w_in=1.0), "w-in-unscaled"),
        ("LIF", leaky(v_threshold=[0.0, 1.0]), "threshold"),
        ("LIF", leaky(v_threshold=[-0.1, 1.0]), "threshold"),
        ("LIF", {"tau": [-DT, 10 * DT], "r": [1, 10]}, "tau-negative"),
        ("LIF", {"tau": [np.inf, 10 * DT], "r": [1, 10]}, "tau-infinite"),
        ("LIF", {"tau": [0.5 * DT, 10 * DT], "r": [1, 10]}, "tau-range"),
        ("LIF", {"tau": [1e9 * DT, 10 * DT], "r": [1e9, 10]}, "tau-range"),
    ],
)
def test_one_value_that_is_amiss_is_found(kind: str, values: dict[str, Any], code: str) -> None:
    assert code in codes(kind, **values)


def test_without_a_dialect_only_what_is_wrong_in_all_is_found() -> None:
    assert set(codes("LIF", None, tau=[-1.0, np.inf], r=7.0, v_threshold=0.0)) == {
        "tau-negative", "tau-infinite", "threshold",
    }  # fmt: skip
    assert "tau-units" in codes("LIF", replace(DIALECTS["norse"], tau_scale=1e3), tau=1e-5)


def test_infinity_that_the_file_means_is_a_note() -> None:
    values: dict[str, Any] = {"tau": [np.inf, 10 * DT], "r": [1, 10]}
    said = {"neurodeploy": '{"dialect": "snntorch"}'}
    assert codes("LIF", **values)["tau-infinite"] == "warning"
    assert codes("LIF", metadata=said, **values)["tau-infinite"] == "note"
