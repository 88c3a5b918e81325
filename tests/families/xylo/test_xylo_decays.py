from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.families.xylo.decays import DASH_MAX, dash_pairs, kept, misfit, near_dashes, rise, rise_of_bias


@pytest.mark.parametrize("dash", range(DASH_MAX + 1))
def test_factor_that_a_shift_meets_has_that_shift_alone(dash: int) -> None:
    assert near_dashes(kept(dash)) == (dash,)
    assert near_dashes(float(np.float32(kept(dash)))) == (dash,)


@given(st.floats(0.0, 1.0))
def test_near_shifts_enclose_the_factor(keep: float) -> None:
    low, *high = near_dashes(keep)
    assert kept(low) <= keep + 1e-6
    assert all(keep <= kept(dash) and dash == low + 1 for dash in high)
    assert min(near_dashes(keep, least=1)) >= 1


def test_a_tau_of_eleven_steps_lies_between_shifts_3_and_4() -> None:
    assert near_dashes(np.exp(-1 / 11)) == (3, 4)


def test_pairs_begin_with_the_one_whose_answer_is_nearest() -> None:
    pair, *others = dash_pairs(0.9, 0.95)
    assert len(others) == 3
    assert all(misfit(0.9, 0.95, *pair) <= misfit(0.9, 0.95, *other) for other in others)


def test_decays_that_shifts_meet_lose_nothing_and_rise_by_nothing() -> None:
    assert dash_pairs(0.75, 0.875) == ((2, 3),)
    assert misfit(0.75, 0.875, 2, 3) == pytest.approx(0.0, abs=1e-7)
    assert rise(0.75, 0.875, 2, 3) == pytest.approx(1.0)
    assert rise_of_bias(0.875, 3) == pytest.approx(1.0)


def test_rise_lies_between_charge_and_level() -> None:
    """A current of 9 in all is one of 15 on the chip, where v settles at 16 times that, and not at 20 times."""
    charge, level = 15 / 9, 15 / 9 * 16 / 20
    assert rise(0.9, 0.95, 4, 4) == pytest.approx((charge * level) ** 0.5)
