"""The compiled kernels equal their NumPy twin, over the full range of every code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from neurodeploy.arithmetic import ARITHMETICS, decay
from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.emulator import twin
from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.codes import CodedPopulation, CodedProjection
from neurodeploy.program import Program

STATE = st.integers(-(2**23) + 1, 2**23 - 1)


@st.composite
def populations(draw: st.DrawFn, name: str, shape: tuple[int, ...]) -> CodedPopulation:
    n = int(np.prod(shape))

    def codes(strategy: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(strategy, min_size=n, max_size=n))

    decay = st.one_of(st.integers(0, 4095), st.sampled_from([0, 1, 4094, 4095]))
    return CodedPopulation(
        name,
        shape,
        du=codes(decay),
        dv=codes(decay),
        threshold_code=codes(st.one_of(st.integers(0, 131071), st.integers(0, 300))),
        bias_mantissa=codes(st.integers(-4095, 4095)),
        bias_exponent=draw(st.integers(0, 7)),
        u_init=codes(STATE),
        v_init=codes(STATE),
        latency=0,
        unit=64.0,
    )


@st.composite
def projections(draw: st.DrawFn, source: str, target: str, n_in: int, n_out: int) -> CodedProjection:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = rng.integers(-256, 256, (n_out, n_in))
    return CodedProjection(
        source, target, weight, draw(st.integers(-8, 15)), 8, "mixed", draw(st.integers(1, 5)),
    )  # fmt: skip


@st.composite
def convolutions(draw: st.DrawFn, source: str, target: str) -> tuple[CodedProjection, tuple[int, ...], tuple[int, ...]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups, height, width = draw(st.integers(1, 2)), draw(st.integers(3, 6)), draw(st.integers(3, 6))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    pairs = {
        key: (draw(st.integers(low, 2)), draw(st.integers(low, 2)))
        for key, low in (("stride", 1), ("padding", 0), ("dilation", 1))
    }
    weight = rng.integers(-256, 256, (c_out, c_in // groups, draw(st.integers(1, 2)), draw(st.integers(1, 2))))
    conv = CodedProjection(
        source, target, weight, draw(st.integers(0, 3)), 8, "mixed", draw(st.integers(1, 3)), **pairs, groups=groups
    )
    return conv, (c_in, height, width), conv.output_shape((c_in, height, width))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    conv, shape_in, shape_out = draw(convolutions("in", "a"))
    a, b = draw(populations("a", shape_out)), draw(populations("b", (3,)))
    joins = [conv, draw(projections("a", "b", a.size, 3)), draw(projections("b", "b", 3, 3))]
    if draw(st.booleans()):
        joins.append(draw(projections("in", "b", int(np.prod(shape_in)), 3)))
    return Program("loihi2", "loihi", {"in": shape_in}, (a, b), tuple(joins), ("b",), 1e-4, "nir", {})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 2**32), st.sampled_from(sorted(ARITHMETICS)))
def test_kernels_equal_the_twin(program: Program, seed: int, arithmetic: str) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.random((12, 2, *program.inputs["in"])) < 0.4).astype(np.uint8)
    traces = twin.run(program, {"in": x.astype(np.int64)}, ARITHMETICS[arithmetic])
    recording = Emulator().run(
        program, {"in": x}, RunOptions(record=("spikes", "u", "v"), arithmetic=arithmetic, raw_time=True)
    )
    for name, observed in recording.nodes.items():
        for key, values in observed.items():
            np.testing.assert_array_equal(
                values.reshape(12, 2, -1), getattr(traces, key)[name], err_msg=f"{name} {key}"
            )
    for key, values in recording.counters.items():
        np.testing.assert_array_equal(values, traces.counters[key], err_msg=key)


@given(st.integers(-(2**40), 2**40))
@example(2**23)
@example(-(2**23))
def test_the_chip_wraps_by_as_many_turns_as_it_takes(u: int) -> None:
    wrapped = int(twin.wrap(np.array([u]), ARITHMETICS["loihi"])[0])
    assert -(2**23) < wrapped <= 2**23
    assert (wrapped - u) % 2**24 == 0


@pytest.mark.parametrize(
    ("u", "expected"), [(2**23, 2**23), (2**23 + 1, -(2**23) + 1), (-(2**23), 2**23), (3 * 2**23 + 1, 2**23 + 1)]
)
def test_lava_wraps_by_one_turn_only(u: int, expected: int) -> None:
    assert int(twin.wrap(np.array([u]), ARITHMETICS["lava"])[0]) == expected


@given(STATE, st.integers(0, 4096))
def test_decay_truncates_towards_zero(state: int, code: int) -> None:
    exact = abs(state) * (4096 - code) // 4096
    assert int(decay(np.array([state]), np.array([code]))[0]) == (exact if state >= 0 else -exact)
