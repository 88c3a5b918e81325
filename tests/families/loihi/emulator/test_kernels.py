"""The compiled kernels equal their NumPy twin, over the full range of every code."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.families.loihi import definition, step
from neurodeploy.families.loihi.arithmetic import ARITHMETICS, decay
from neurodeploy.families.loihi.codes import ADAPTATIONS, CLEARED, CONDITIONS, RESETS, LoihiPopulation, NeuronModel
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions
from tests.conformance.programs import layout

STATE = st.integers(-(2**23) + 1, 2**23 - 1)


@st.composite
def populations(draw: st.DrawFn, name: str, shape: tuple[int, ...]) -> LoihiPopulation:
    n = int(np.prod(shape))

    def codes(strategy: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(strategy, min_size=n, max_size=n))

    decay = st.one_of(st.integers(0, 4095), st.sampled_from([0, 1, 4094, 4095]))
    plain = {
        "du": codes(decay),
        "dv": codes(decay),
        "threshold_code": codes(st.one_of(st.integers(0, 131071), st.integers(0, 300))),
        "bias_mantissa": codes(st.integers(-4095, 4095)),
        "bias_exponent": draw(st.integers(0, 7)),
        "u_init": codes(STATE),
        "v_init": codes(STATE),
    }
    return LoihiPopulation(name, shape, latency=0, unit=64.0, **{**plain, **draw(neurons(codes, decay))})


@st.composite
def neurons(
    draw: st.DrawFn, codes: Callable[[st.SearchStrategy[int]], list[int]], decay: st.SearchStrategy[int]
) -> dict[str, Any]:
    """Return a neuron model and the codes that it needs: Loihi's own, ternary, or programmable in any combination."""
    interval = {"reset_interval": draw(st.integers(0, 4)), "reset_offset": draw(st.integers(0, 4))}
    kind = draw(st.sampled_from(["plain", "ternary", "custom"]))
    if kind != "custom":
        low = {"threshold_low_code": codes(st.integers(-300, 0))} if kind == "ternary" else {}
        spike = draw(st.sampled_from(CONDITIONS))
        return {"model": NeuronModel(**interval, fires=draw(st.booleans()), spike=spike), **low}
    extra: dict[str, Any] = {}
    if draw(st.booleans()):
        extra["v_min"] = codes(st.integers(-20000, 0))
    if draw(st.booleans()):
        extra |= {"adapt_decay": codes(decay), "adapt_step": codes(st.integers(0, 2**23 - 1))}
    if draw(st.booleans()):
        extra["du_second"] = codes(decay)
    model = NeuronModel(
        reset=draw(st.sampled_from(RESETS)),
        max_spikes=draw(st.sampled_from([1, 1, 3, None])),
        refractory=draw(st.integers(0, 3)),
        fires=draw(st.sampled_from([True, True, False])),
        spike=draw(st.sampled_from(CONDITIONS)),
        adapts=draw(st.sampled_from(ADAPTATIONS)),
        clears_u=draw(st.sampled_from(CLEARED)),
        **interval,
    )
    if model.max_spikes != 1:
        extra["threshold_code"] = codes(st.integers(1, 300))
    return {"model": model, **extra}


def payload(population: LoihiPopulation | None) -> dict[str, int]:
    """Return what a projection from a population says of its messages."""
    return {"message_bits": 24 if population is not None and population.is_graded else 0}


@st.composite
def projections(
    draw: st.DrawFn, source: str, target: str, n_in: int, n_out: int, messages: dict[str, int]
) -> CodedProjection:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = draw(st.sampled_from([(-256, 256), (0, 256), (-128, 128)]))
    weight = rng.integers(low, high, (n_out, n_in)) << draw(st.integers(0, 1))
    rest: tuple[Any, ...] = (
        draw(st.one_of(st.integers(-8, 15), st.integers(-31, 31))),
        8,
        "mixed",
        draw(st.integers(1, 5)),
    )
    if draw(st.booleans()):
        sparse = csc_array(weight * (rng.random(weight.shape) < 0.5))
        fields = {"n_out": n_out, "indices": sparse.indices, "indptr": sparse.indptr}
        return CodedProjection(source, target, sparse.data, *rest, **fields, **messages)
    return CodedProjection(source, target, weight, *rest, **messages)


@st.composite
def convolutions(
    draw: st.DrawFn, source: str, target: str, messages: dict[str, int]
) -> tuple[CodedProjection, tuple[int, ...], tuple[int, ...]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups, height, width = draw(st.integers(1, 2)), draw(st.integers(3, 6)), draw(st.integers(3, 6))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    pairs = {
        key: (draw(st.integers(low, 2)), draw(st.integers(low, 2)))
        for key, low in (("stride", 1), ("padding", 0), ("dilation", 1))
    }
    weight = rng.integers(-256, 256, (c_out, c_in // groups, draw(st.integers(1, 2)), draw(st.integers(1, 2))))
    conv = CodedProjection(
        source, target, weight, draw(st.integers(-3, 3)), 8, "mixed", draw(st.integers(1, 3)), **pairs, groups=groups,
        **messages,
    )  # fmt: skip
    return conv, (c_in, height, width), conv.output_shape((c_in, height, width))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    bits = draw(st.sampled_from([0, 0, 8]))
    conv, shape_in, shape_out = draw(convolutions("in", "a", {"message_bits": bits}))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape_out = shape_out if draw(st.booleans()) else layout(rng, prod(shape_out))
    a, b = draw(populations("a", shape_out)), draw(populations("b", layout(rng, 3)))
    joins = [conv]
    if a.model.fires:
        joins.append(draw(projections("a", "b", a.size, 3, payload(a))))
    if b.model.fires:
        joins.append(draw(projections("b", "b", 3, 3, payload(b))))
        if draw(st.booleans()):
            joins.append(draw(projections("b", "a", 3, a.size, payload(b))))
    if draw(st.booleans()):
        joins.append(draw(projections("in", "b", int(np.prod(shape_in)), 3, {"message_bits": bits})))
    graded = {"message_bits": {"in": bits}} if bits else {}
    return Program("loihi2", "loihi", {"in": shape_in}, (a, b), tuple(joins), ("b",), 1e-4, "nir", {}, **graded)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 2**32), st.sampled_from(sorted(ARITHMETICS)))
def test_kernels_equal_the_twin(program: Program, seed: int, arithmetic: str) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.random((12, 2, *program.inputs["in"])) < 0.4).astype(np.int32)
    if program.message_bits:
        x *= rng.integers(-128, 128, x.shape).astype(np.int32)
    traces = definition.run(program, {"in": x.astype(np.int64)}, ARITHMETICS[arithmetic])
    recording = Emulator().run(
        program, {"in": x}, RunOptions(record=("spikes", "u", "v"), arithmetic=arithmetic, raw_time=True)
    )
    for name, observed in recording.nodes.items():
        for key, values in observed.items():
            of_twin = getattr(traces, "v" if key == "value" else key)[name]
            np.testing.assert_array_equal(values.reshape(12, 2, -1), of_twin, err_msg=f"{name} {key}")
    for key, values in recording.counters.items():
        np.testing.assert_array_equal(values, traces.counters[key], err_msg=key)


@given(st.integers(-(2**40), 2**40))
@example(2**23)
@example(-(2**23))
def test_the_chip_wraps_by_as_many_turns_as_it_takes(u: int) -> None:
    wrapped = int(step.wrap(np.array([u]), ARITHMETICS["loihi"])[0])
    assert -(2**23) < wrapped <= 2**23
    assert (wrapped - u) % 2**24 == 0


@pytest.mark.parametrize(
    ("u", "expected"), [(2**23, 2**23), (2**23 + 1, -(2**23) + 1), (-(2**23), 2**23), (3 * 2**23 + 1, 2**23 + 1)]
)
def test_lava_wraps_by_one_turn_only(u: int, expected: int) -> None:
    assert int(step.wrap(np.array([u]), ARITHMETICS["lava"])[0]) == expected


@given(STATE, st.integers(0, 4096))
def test_decay_truncates_towards_zero(state: int, code: int) -> None:
    exact = abs(state) * (4096 - code) // 4096
    assert int(decay(np.array([state]), np.array([code]))[0]) == (exact if state >= 0 else -exact)
