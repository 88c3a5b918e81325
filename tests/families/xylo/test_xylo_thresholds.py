from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from neurodeploy.families.xylo.neuron_form import NeuronForm
from neurodeploy.families.xylo.population import NEVER_FIRES
from neurodeploy.families.xylo.thresholds import (
    FEWEST_SPIKES,
    MAX_DRIFT,
    Registers,
    Task,
    Trial,
    calibrated_registers,
    nearest_registers,
    with_common_factor,
)


def task(n: int = 1, role: str = "hidden", meets: bool = True, capped: bool = False, **given: float) -> Task:
    values = {"keep_syn": 0.75, "keep_mem": 0.875, "gain": 1.0, "threshold": 1.0, "bias": 0.0, "late_bias": 0.0} | given
    return Task(NeuronForm(**{k: np.full(n, v) for k, v in values.items()}), np.full(n, 1000.0), meets, role, capped)


def trial(of: Task, wanted: Registers, weight: int = 400, own: int = 0, latency: int = 0) -> Trial:
    """What neurons with the wanted registers send, given random spikes; ``own`` is the weight of their own."""
    n = len(of.units)
    drive = (np.random.default_rng(0).random((60, 12, 3)) < 0.3).astype(np.uint8)
    weights = np.full((3, 1, n), weight, np.int16)
    made = Trial(drive, weights, np.zeros((60, 12, n), np.uint8), np.zeros(3, np.bool_), latency)
    if own:
        weights = np.concatenate([weights, own * np.eye(n, dtype=np.int16)[:, np.newaxis]])
        drive = np.concatenate([drive, np.zeros((60, 12, n), np.uint8)], axis=2)
        made = Trial(drive, weights, made.wanted, np.arange(3 + n) >= 3, latency)
    sent = made.sent(wanted, of)
    if own:
        drive[1:, :, 3:] = sent[:-1]
    return Trial(drive, weights, sent, made.own, latency)


def test_registers_of_decays_that_shifts_meet_are_the_scaled_threshold_and_bias() -> None:
    found = nearest_registers(task(bias=0.02))
    assert [getattr(found, field.name)[0] for field in fields(found)] == [2, 3, 1000, 20, 1.0, 0.0]


def test_a_neuron_that_fires_above_its_threshold_only_has_one_code_more() -> None:
    assert nearest_registers(task(meets=False)).threshold_code[0] == 1001


def test_integrator_never_fires() -> None:
    assert nearest_registers(task(threshold=np.inf)).threshold_code[0] == NEVER_FIRES


def test_registers_that_already_send_what_is_wanted_stay() -> None:
    of = task(n=3)
    found = calibrated_registers(of, trial(of, nearest_registers(of)))
    assert found.threshold_code.tolist() == [1000] * 3
    assert not found.bias_code.any()


@pytest.mark.parametrize("factor", [0.75, 1.3])
@pytest.mark.parametrize("role", ["hidden", "output"])
def test_each_neuron_finds_the_threshold_that_sends_what_is_wanted(factor: float, role: str) -> None:
    of, wanted = task(n=2, role=role), nearest_registers(task(n=2, role=role))
    wanted = of.registers(wanted.dash_syn, wanted.dash_mem, np.array([factor, 1.0]), np.zeros(2))
    made = trial(of, wanted)
    found = calibrated_registers(of, made)
    assert found.factor == pytest.approx([factor, 1.0], rel=0.02)
    assert made.error([found], of).max() < 0.3 < made.error([nearest_registers(of)], of)[0, 0]


def test_each_neuron_finds_its_shifts() -> None:
    of = task(n=2, keep_syn=0.8, keep_mem=0.9)
    wanted = of.registers(np.array([2, 3]), np.array([4, 3]), np.ones(2), np.zeros(2))
    found = calibrated_registers(of, trial(of, wanted))
    assert (found.dash_syn.tolist(), found.dash_mem.tolist()) == ([2, 3], [4, 3])


def test_neurons_that_hardly_fire_in_either_keep_their_thresholds() -> None:
    of = task()
    made = trial(of, of.changed(nearest_registers(of), 0.9), weight=39)
    assert 0 < made.wanted.sum() < FEWEST_SPIKES
    assert calibrated_registers(of, made).threshold_code[0] == 1000


def test_neurons_that_only_the_integers_use_are_silenced() -> None:
    of = task()
    made = trial(of, nearest_registers(of), weight=80)
    silent = Trial(made.drive, made.weight, np.zeros_like(made.wanted), made.own)
    found = calibrated_registers(of, silent)
    assert silent.error([found], of)[0, 0] < 0.2 * silent.error([nearest_registers(of)], of)[0, 0]


def test_drift_is_bounded_and_cannot_make_a_resting_neuron_fire() -> None:
    of = task()
    found = of.changed(of.changed(nearest_registers(of), 1.0, 0.3), 1.0, 0.3)
    assert found.drift[0] == MAX_DRIFT
    assert found.bias_code[0] == round(MAX_DRIFT * 1000 / 8)
    silent = Trial(*(np.zeros(s, d) for s, d in (((200, 1, 1), np.uint8), ((1, 1, 1), np.int16))), **_nothing())
    assert not silent.sent(found, of).any()


def _nothing() -> dict[str, Any]:
    return {"wanted": np.zeros((200, 1, 1), np.uint8), "own": np.zeros(1, np.bool_)}


def test_bias_acts_before_the_first_row_of_a_deep_population() -> None:
    of = task(bias=0.3)
    early, late = (trial(of, nearest_registers(of), latency=latency) for latency in (3, 0))
    assert len(early.wanted) == len(late.wanted) == 60
    assert early.wanted[:3].sum() > late.wanted[:3].sum()


def test_neurons_that_feed_themselves_get_one_more_factor() -> None:
    of, start = task(n=3), nearest_registers(task(n=3))
    made = trial(of, of.changed(start, 1.1), own=200)
    assert with_common_factor(of, start, made).factor.tolist() == [1.1] * 3
    assert made.own.tolist() == [False] * 3 + [True] * 3


def test_neurons_that_may_send_too_much_at_once_find_thresholds_far_above() -> None:
    of = task(capped=True)
    made = trial(of, nearest_registers(of), weight=3000)
    single = Trial(made.drive, made.weight, np.minimum(made.wanted, 1), made.own)
    found = calibrated_registers(of, single)
    assert found.factor[0] > 1.5
    assert single.error([found], of)[0, 0] < 0.3 * single.error([nearest_registers(of)], of)[0, 0]
