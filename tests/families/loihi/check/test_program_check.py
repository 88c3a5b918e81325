"""Bounds contain every run, proofs of silence hold, remedies work, and what goes wrong is named where it does."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi import definition, step
from neurodeploy.families.loihi.arithmetic import ARITHMETICS, STATE_LIMIT, decay
from neurodeploy.families.loihi.check import program_check
from neurodeploy.families.loihi.check.observe import observe_on_data
from neurodeploy.families.loihi.codes import ADAPTATIONS, CLEARED, LoihiPopulation, NeuronModel
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs
from tests.conformance.programs import random_inputs, random_program
from tests.families.loihi.emulator.test_kernels import programs

ROWS = 12


def population(name: str = "a", n: int = 2, **codes: Any) -> LoihiPopulation:
    given = {"du": 4095, "dv": 0, "threshold_code": 100, "bias_mantissa": 0, "u_init": 0, "v_init": 0}
    extras = {key: codes.pop(key) for key in ("model", "bias_exponent", "latency") if key in codes}
    arrays = {key: np.broadcast_to(value, n) for key, value in {**given, **codes}.items()}
    return LoihiPopulation(name, (n,), unit=64.0, **{"bias_exponent": 0, "latency": 1, **extras}, **arrays)


def joined(source: str, target: str, weight: Any, **options: Any) -> CodedProjection:
    return CodedProjection(source, target, np.array(weight), **{"exponent": 0, "delay": 1, **options}, **MIXED)


MIXED: dict[str, Any] = {"weight_bits": 8, "sign_mode": "mixed"}


def program(*populations: LoihiPopulation, projections: tuple[CodedProjection, ...], n_in: int = 2) -> Program:
    outputs = tuple(p.name for p in populations[-1:])
    return Program("loihi2", "loihi", {"in": (n_in,)}, populations, projections, outputs, 1e-3, "nir", {})


def one_layer(weight: Any = ((20, 0), (0, 20)), **codes: Any) -> Program:
    weight = np.array(weight)
    return program(population(n=len(weight), **codes), projections=(joined("in", "a", weight),), n_in=weight.shape[1])


def spikes(n: int = 2, n_samples: int = 3, rows: int = ROWS) -> Inputs:
    return {"in": np.ones((rows, n_samples, n), np.uint8)}


def in_float(fired: Any, name: str = "a") -> Recording:
    """Return a float model's recording in which neurons fire in the first so many rows of each of 3 samples."""
    sent = np.arange(ROWS)[:, np.newaxis, np.newaxis] < np.broadcast_to(fired, (3, len(fired)))
    return Recording({name: {"spikes": sent.astype(np.uint8)}}, {})


def holds(subject: Program, inputs: Inputs) -> None:
    """Check that no run on these inputs leaves the bounds, or fires where that was ruled out."""
    bounds = program_check.worst_case(subject)
    traces = definition.run(subject, inputs, ARITHMETICS[subject.arithmetic])
    for index, p in enumerate(subject.populations):
        one, u, v = bounds[p.name], traces.u[p.name], traces.v[p.name]
        assert one.u[0] <= u.min() <= u.max() <= one.u[1], p
        assert one.v[0] <= v.min() <= v.max() <= one.v[1], p
        assert one.wraps or not traces.counters["u_wraps"][..., index].any(), p
        assert one.sinks or one.climbs or not traces.counters["v_clips"][..., index].any(), p
        assert one.can_fire or not traces.spikes[p.name].any(), p


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from(sorted(ARITHMETICS)))
def test_no_run_leaves_the_bounds_of_any_neuron(seed: int, arithmetic: str) -> None:
    rng = np.random.default_rng(seed)
    subject = replace(random_program(rng), arithmetic=arithmetic)
    holds(subject, random_inputs(subject, 40, 2, rng))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 2**32), st.sampled_from(sorted(ARITHMETICS)))
def test_no_run_leaves_the_bounds_of_extreme_codes(subject: Program, seed: int, arithmetic: str) -> None:
    rng = np.random.default_rng(seed)
    subject = replace(subject, arithmetic=arithmetic)
    holds(subject, random_inputs(subject, 20, 2, rng))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 4096),
    st.integers(1, 4095),
    st.integers(-40, 40),
    st.integers(-(2**12), 2**12),
    st.integers(-(2**12), 2**12),
)
def test_bounds_without_spikes_are_reached(lost_u: int, dv: int, bias: int, u_init: int, v_init: int) -> None:
    """All positive weights for ever drive u and v to their highest values, not just near them."""
    subject = one_layer(
        [[2]],
        du=lost_u - 1,
        dv=dv,
        bias_mantissa=bias,
        u_init=u_init,
        v_init=v_init,
        threshold_code=131071,
    )
    one = program_check.worst_case(subject)["a"]
    state = definition.start(subject.populations[0], 1)
    seen_u, seen_v = [], []
    for t in range(3000):
        before = state
        state, _ = step.neuron(subject.populations[0], state, np.full((1, 1), 2), t, ARITHMETICS["loihi"])
        seen_u.append(int(state.u[0, 0]))
        seen_v.append(int(state.v[0, 0]))
        if np.array_equal([state.u, state.v], [before.u, before.v]):
            break  # and so it stays
    assert max(seen_u) == one.u[1] or lost_u < 16
    assert max(seen_v) <= one.v[1]
    if min(lost_u, dv) >= 16 and u_init <= 0:
        assert max(seen_v) == one.v[1]


def test_an_integrate_and_fire_neuron_holds_what_a_reset_leaves() -> None:
    one = program_check.worst_case(one_layer([[20, -8]]))["a"]
    assert one.sums == one.u == (-8 << 6, 20 << 6)
    assert one.v == (1 - STATE_LIMIT, (100 << 6) + (20 << 6))
    assert (one.sinks, one.climbs, one.wraps, one.can_fire) == (1, 0, 0, 1)
    assert one.highest_by == "positive weights of in -> a"
    assert one.lowest_by == "negative weights of in -> a"


def test_currents_that_can_wrap_are_counted() -> None:
    big = program_check.worst_case(one_layer([[200] * 8, [2] * 8], du=0))["a"]
    assert big.wraps == 1
    assert big.u == (1 - STATE_LIMIT, STATE_LIMIT)


def test_initial_codes_that_fade_do_not_count_for_ever() -> None:
    one = program_check.worst_case(one_layer([[2]], u_init=6000, dv=400, threshold_code=400))["a"]
    assert one.v[1] <= 6000 + (2 << 6) * 11


@pytest.mark.parametrize(("threshold", "fires"), [(200, 2), (201, 0)])
def test_silence_is_proved_exactly(threshold: int, fires: int) -> None:
    """All input at once is 200 weight units, and 3 register units of the v before are left: enough for 200."""
    subject = one_layer([[100, 100], [100, 100]], threshold_code=threshold, dv=4095)
    one = program_check.worst_case(subject)["a"]
    assert (one.can_fire, one.threshold_share) == (fires, ((200 << 6) + 3) / (threshold << 6))
    traces = definition.run(subject, spikes(), ARITHMETICS["loihi"])
    assert traces.spikes["a"].any() == (fires > 0)


def test_a_bias_that_no_register_holds_is_not_proposed() -> None:
    subject = one_layer([[20, 0], [-20, 0]], threshold_code=100)
    (sentence,) = (
        w for w in program_check.check_program(subject, spikes(), in_float([5, 5])).warnings if "never fire" in w
    )
    assert "bias" not in sentence
    assert "check the scale of their weights" in sentence


def test_what_hears_only_silent_neurons_is_silent_even_in_a_loop() -> None:
    a, b = population("a", 1, dv=4095, threshold_code=500), population("b", 1)
    ring = (joined("in", "a", [[2]]), joined("a", "b", [[200]]), joined("b", "b", [[200]]))
    bounds = program_check.worst_case(program(a, b, projections=ring, n_in=1))
    assert (bounds["a"].can_fire, bounds["b"].can_fire) == (0, 0)
    assert bounds["b"].v == (0, 0)


def test_a_bias_alone_is_no_silence() -> None:
    assert program_check.worst_case(one_layer([[0]], bias_mantissa=1))["a"].can_fire == 1


def test_counts_of_any_number_are_reckoned_with() -> None:
    counts = population("a", 1, threshold_code=10, model=NeuronModel(reset="subtract", max_spikes=None))
    feeds = (joined("in", "a", [[100]]), joined("a", "b", [[2]], message_bits=8))
    bounds = program_check.worst_case(program(counts, population("b", 1), projections=feeds, n_in=1))
    assert bounds["b"].sums == (0, (2 << 6) * 11)


def test_a_proved_silence_is_refused_with_the_threshold_that_ends_it() -> None:
    subject = one_layer(dv=4095, threshold_code=812)
    with pytest.raises(
        DeployError, match=r"a: no input can make it fire, v reaches 2\.46 % of the threshold"
    ) as refused:
        program_check.check_program(subject)
    assert "node 'a'" in refused.value.where
    assert "--allow-silent" in refused.value.fix
    found = re.search(r"threshold from 812 to (\d+) \(plan: populations.a.threshold\)", refused.value.fix)
    assert found is not None
    woken = replace(subject, populations=(population(dv=4095, threshold_code=int(found[1])),))
    assert program_check.worst_case(woken)["a"].can_fire == 2
    assert program_check.check_program(woken).silent == {}


def test_silence_that_is_allowed_is_a_warning() -> None:
    found = program_check.check_program(one_layer(dv=4095, threshold_code=812), allow_silent=True)
    assert any("a: no input can make it fire" in warning for warning in found.warnings)
    assert found.as_json()["silent"] == ["a"]


def test_silence_seen_on_data_is_refused_and_the_remedy_wakes_it() -> None:
    subject = one_layer(dv=0, threshold_code=812)
    with pytest.raises(DeployError, match="a: no spike on calibration data, 30 in the float model") as refused:
        program_check.check_program(subject, spikes(), in_float([5, 5]))
    found = re.search(r"threshold from 812 to (\d+)", refused.value.fix)
    assert found is not None
    woken = replace(subject, populations=(population(threshold_code=int(found[1])),))
    assert observe_on_data(woken, spikes())["a"].spikes > 0
    assert program_check.check_program(woken, spikes(), in_float([5, 5])).silent == {}


def test_neurons_that_nothing_excites_are_offered_a_bias_that_wakes_them() -> None:
    subject = one_layer([[-20, 0], [0, -20]])
    with pytest.raises(DeployError, match="no input can make it fire"):
        program_check.check_program(subject)
    excited = one_layer([[-20, 2], [2, -20]], threshold_code=20)
    with pytest.raises(DeployError, match="no spike on calibration data") as refused:
        program_check.check_program(excited, spikes(), in_float([5, 5]))
    found = re.search(r"bias mantissa of a by (\d+)", refused.value.fix)
    assert found is not None
    woken = replace(excited, populations=(population(threshold_code=20, bias_mantissa=int(found[1])),))
    assert observe_on_data(woken, spikes())["a"].spikes > 0


def test_what_the_float_model_leaves_silent_too_is_only_a_warning() -> None:
    found = program_check.check_program(one_layer(dv=0, threshold_code=812), spikes(), in_float([0, 0]))
    assert any("no spike on calibration data" in warning for warning in found.warnings)


def test_a_population_behind_a_silent_one_names_it() -> None:
    a, b = population("a", 1, threshold_code=812), population("b", 1)
    subject = program(a, b, projections=(joined("in", "a", [[20]]), joined("a", "b", [[200]])), n_in=1)
    found = program_check.check_program(subject, spikes(1), allow_silent=True)
    assert any("b: no spike" in w and "every population that sends to it is silent (a)" in w for w in found.warnings)


def test_dead_neurons_come_with_a_threshold_that_wakes_them() -> None:
    subject = one_layer([[20, 20], [20, 0], [6, 0], [0, 0]], threshold_code=300)
    found = program_check.check_program(subject, spikes(), in_float([5, 5, 5, 0]))
    (sentence,) = (w for w in found.warnings if "never fire" in w)
    assert "a: 2 of 4 neurons never fire on calibration data, although they do so in the float model" in sentence
    numbers = re.search(r"threshold from 300 to (\d+) .*; v of all of them passed (\d+)", sentence)
    assert numbers is not None
    for code, awake in ((int(numbers[1]), 1), (int(numbers[2]), 2)):
        changed = replace(subject, populations=(population(n=4, threshold_code=code),))
        assert np.count_nonzero(observe_on_data(changed, spikes())["a"].fired[1:3]) == awake


def test_saturated_neurons_come_with_a_threshold_that_calms_them() -> None:
    subject = one_layer([[200, 0], [0, 20]])
    found = program_check.check_program(subject, spikes(), in_float([3, 3]))
    (sentence,) = (w for w in found.warnings if "nearly every step" in w)
    assert "a: 1 of 2 neurons fire in nearly every step on calibration data, although they do not so" in sentence
    number = re.search(r"threshold from 100 to (\d+) \(plan: populations.a.threshold\)", sentence)
    assert number is not None
    changed = replace(subject, populations=(population(threshold_code=int(number[1])),))
    assert observe_on_data(changed, spikes(), in_float([3, 3]))["a"].saturated.sum() == 0


@pytest.mark.parametrize("adapts", ADAPTATIONS)
@pytest.mark.parametrize("clears", CLEARED)
def test_the_first_clip_is_of_all_currents_that_v_saw(clears: str, adapts: str) -> None:
    model = NeuronModel("subtract", adapts=adapts, clears_u=clears)
    extras = {"du_second": 4000, "adapt_decay": 50, "adapt_step": 300_000, "threshold_code": 60_000, "du": 2048}
    subject = one_layer([[254], [-254]], model=model, latency=0, **extras)
    subject = replace(subject, projections=tuple(replace(p, exponent=7) for p in subject.projections))
    x = (np.arange(ROWS) % 4 != 1).astype(np.uint8).reshape(-1, 1, 1)
    first = observe_on_data(subject, {"in": x})["a"].first_clip
    assert first is not None
    a, (one, *_) = np.zeros((1, 2), np.int64), subject.populations
    state = before = definition.start(one, 1)
    for t in range(first.row + 1):
        before, a = state, (x[t - 1].astype(np.int64) * [254, -254]) << 7 if t else 0 * a
        state, _ = step.neuron(one, state, a, t, ARITHMETICS["loihi"])
    seen = step.neuron(
        replace(one, model=NeuronModel("none", adapts=adapts)), before, a, first.row, ARITHMETICS["loihi"]
    )
    currents = seen[0].u + seen[0].second - (before.b if adapts == "v" else 0)
    assert first.value == (decay(before.v, one.dv.astype(np.int64)) + currents)[0, first.neuron]


def test_bounds_tell_of_a_second_current_that_wraps() -> None:
    subject = one_layer([[254], [254]], du_second=0)
    subject = replace(subject, projections=tuple(replace(p, exponent=5) for p in subject.projections))
    for arithmetic in ARITHMETICS:
        holds(replace(subject, arithmetic=arithmetic), {"in": np.ones((80, 1, 1), np.int64)})
    assert program_check.worst_case(subject)["a"].wraps == 2


@pytest.mark.parametrize("at_once", [1, 10**9])
def test_overflow_names_sample_row_neuron_and_source(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurodeploy.families.loihi.check.observe.VALUES_PER_RUN", at_once)
    a = population("a", 2, du=0, threshold_code=131071, model=NeuronModel(fires=False))
    feeds = (joined("in", "a", [[2], [2]]), joined("loud", "a", [[0], [200]], exponent=7))
    subject = replace(program(projections=(), n_in=1), inputs={"in": (1,), "loud": (1,)}, populations=(a,))
    subject = replace(subject, projections=feeds, outputs=("a",))
    x = {name: np.zeros((ROWS, 3, 1), np.uint8) for name in ("in", "loud")}
    x["in"][:], x["loud"][2:, 1] = 1, 1
    one = observe_on_data(subject, x)["a"]
    assert one.first_wrap is not None
    assert (one.first_wrap.sample, one.first_wrap.row, one.first_wrap.neuron) == (1, 7, 1)
    assert one.first_wrap.source == "loud -> a"
    assert one.first_wrap.value > STATE_LIMIT
    assert one.u_high.sample == 1
    traces = definition.run(subject, x, ARITHMETICS["loihi"])
    assert one.wraps == traces.counters["u_wraps"][1:].sum()
    assert one.v_high.value == traces.v["a"][1:].max()
    warnings = program_check.check_program(subject, x).warnings
    assert any("first in neuron 1 at row 7 of sample 1" in w and "driven by loud -> a" in w for w in warnings)


def test_all_that_is_known_is_ready_for_json() -> None:
    found = program_check.check_program(one_layer(), spikes(), in_float([3, 3])).as_json()
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, sort_keys=True))
    assert found["observed"]["a"]["rate_in_float"] == 0.25
    assert found["worst_case"]["a"]["can_fire"] == 2


def test_a_healthy_program_has_no_warnings() -> None:
    assert program_check.check_program(one_layer(), spikes(), in_float([3, 3])).warnings == ()
