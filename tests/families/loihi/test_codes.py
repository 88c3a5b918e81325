"""Weights, initial registers and scales as integer codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, decay
from neurodeploy.families.loihi.initial import initial_codes
from neurodeploy.families.loihi.weights import dequantise_weights, filling_scale, quantise_weights, weight_range

WEIGHTS = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-3, 3, allow_subnormal=False))


@given(WEIGHTS, st.integers(2, 8))
def test_codes_lie_in_the_range_and_on_its_steps(weight: np.ndarray, bits: int) -> None:
    codes = weight_range(weight, bits, "w")
    scale = filling_scale(weight, codes)
    quantised = quantise_weights(weight, scale if np.isfinite(scale) else 1.0, codes)
    assert quantised.min() >= codes.low
    assert quantised.max() <= codes.high
    assert not (quantised % codes.step).any()


@given(WEIGHTS, st.integers(2, 8))
def test_a_weight_comes_back_within_half_a_step(weight: np.ndarray, bits: int) -> None:
    codes = weight_range(weight, bits, "w")
    scale = filling_scale(weight, codes)
    if not np.isfinite(scale):
        return
    back = dequantise_weights(quantise_weights(weight, scale, codes), scale)
    assert np.abs(back - weight).max() <= (0.5 + 1e-9) * codes.step / scale


@pytest.mark.parametrize(
    ("weight", "bits", "expected"),
    [
        ([-1.0, 1.0], 8, ("mixed", 2, -256, 254)),
        ([0.0, 1.0], 8, ("excitatory", 1, 0, 255)),
        ([-1.0, 0.0], 8, ("inhibitory", 1, -255, 0)),
        ([-1.0, 1.0], 4, ("mixed", 32, -256, 224)),
        ([0.5, 1.0], 1, ("excitatory", 128, 0, 128)),
    ],
)
def test_the_sign_mode_follows_the_signs_that_occur(
    weight: list[float], bits: int, expected: tuple[str, int, int, int]
) -> None:
    found = weight_range(np.array(weight), bits, "w")
    assert (found.sign_mode, found.step, found.low, found.high) == expected


def test_one_bit_for_both_signs_is_refused() -> None:
    with pytest.raises(DeployError, match="weights of both signs need at least 2 bits"):
        weight_range(np.array([-1.0, 1.0]), 1, "w")


def advance(
    u: np.ndarray, v: np.ndarray, codes: tuple[int, int, int, int], steps: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Take steps without input; tell whether the neuron fires on the way."""
    du, dv, threshold, bias = codes
    fires = False
    for _ in range(steps):
        u = decay(u, np.array([du + 1]))
        v = decay(v, np.array([dv])) + u + bias
        fires = fires or bool((v > threshold << ALIGN_BITS).any())
    return u, v, fires


@given(
    st.integers(0, 4095), st.integers(0, 3500), st.integers(-20000, 60000), st.integers(-1000, 1000), st.integers(0, 4)
)
def test_initial_codes_never_fire_and_report_what_they_miss(
    du: int, dv: int, bias: int, goal: int, latency: int
) -> None:
    threshold = 2000
    arrays = [np.array([x], np.int64) for x in (du, dv, threshold, bias)]
    found = initial_codes(*arrays, (np.zeros(1, np.int64), np.array([goal])), latency)
    _, v, fires = advance(found.u, found.v, (du, dv, threshold, bias), latency)
    assert not fires
    assert int(v[0]) - goal == int(found.v_error[0])


@given(st.integers(0, 2000), st.integers(0, 3000), st.integers(0, 30000), st.integers(-5000, 5000), st.integers(1, 3))
def test_initial_codes_meet_the_goal_where_the_bias_excites(
    du: int, dv: int, bias: int, goal_u: int, latency: int
) -> None:
    arrays = [np.array([x], np.int64) for x in (du, dv, 2000, bias)]
    found = initial_codes(*arrays, (np.array([goal_u]), np.zeros(1, np.int64)), latency)
    u, v, _ = advance(found.u, found.v, (du, dv, 2000, bias), latency)
    if found.v_error[0] == 0:
        assert int(v[0]) == 0
    assert int(u[0]) == goal_u


def test_a_goal_behind_the_threshold_is_missed_and_said() -> None:
    # Inhibition of nearly the threshold a step for two steps would need a start that fires after the first.
    arrays = [np.array([x], np.int64) for x in (4095, 0, 1000, -63000)]
    zero = np.zeros(1, np.int64)
    found = initial_codes(*arrays, (zero, zero), 2)
    assert int(found.v_error[0]) == 0
    found = initial_codes(*[*arrays[:3], np.array([-64001])], (zero, zero), 2)
    assert int(found.v_error[0]) == -1
