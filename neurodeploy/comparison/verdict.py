"""The verdict: which gates could be judged, which were passed, and whether that means anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from math import sqrt
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends import EMULATOR, REFERENCE, simulators
from neurodeploy.comparison.answers import Answers
from neurodeploy.comparison.tallies import OVERFLOWS, Agreements, Events
from neurodeploy.comparison.vacuous import constant, guessed, silent_or_tied
from neurodeploy.errors import DeployError, counted, known
from neurodeploy.ir.decision import MEMBRANE, Decision

TOLERANCE_POINTS = 1.0
"""Points of accuracy that a chip may lose, or per cent of the decisions that it may change."""

VALUE_TOLERANCE = 10.0
"""Root mean square error of a value that is read, in per cent of the reference's standard deviation."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Demands:
    """The demands that a comparison has to meet.

    tolerance: points of accuracy that may be lost, or per cent of decisions that may change.
    value_tolerance: root mean square error of values, per cent of the reference's standard deviation.
    require: gates that fail where they could not be judged.
    """

    tolerance: float = TOLERANCE_POINTS
    value_tolerance: float = VALUE_TOLERANCE
    require: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)
        check_tolerance(self.value_tolerance, "--value-tolerance")
        known_gates = gate_names()
        for gate in self.require:
            if gate not in known_gates:
                raise DeployError(
                    f"no gate is called {gate!r}", where="--require", fix=f"Choose from {known(known_gates)}."
                )


def demand(tolerance: float, value_tolerance: float, require: tuple[str, ...] | str) -> Demands:
    """Return demands of which the required gates may be given as a text with commas.

    Args:
        tolerance: points of accuracy that may be lost, or per cent of decisions that may change.
        value_tolerance: root mean square error of values, in per cent of the reference's standard deviation.
        require: gates that fail where they cannot be judged: names, or one text of them.
    """
    required = require.split(",") if isinstance(require, str) else require
    return Demands(tolerance, value_tolerance, tuple(word.strip() for word in required))


@dataclass(frozen=True, slots=True)
class Gate:
    """One question to a comparison.

    reason: what was found, or why it was not judged. passed: None where it was not judged.
    applies: whether the question makes sense here at all. measured: loss by backend, in the gate's unit.
    """

    reason: str
    passed: bool | None = None
    applies: bool = True
    measured: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """The evidence on which a verdict rests.

    equalities: as the comparison's result has them. chips: backends that ran and whose loss is judged.
    ran: all that ran. outputs: what the model returns, as a decision calls it.
    """

    equalities: dict[str, Any]
    answers: Answers
    agreements: Agreements
    events: Events
    ran: tuple[str, ...]
    chips: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def rules(self) -> tuple[Decision, ...]:
        """The rule that was chosen, or else those that could be meant of outputs that fire."""
        settled = self.answers.settled
        if settled.decision is not None:
            return (settled.decision,)
        return tuple(rule for rule in settled.candidates if rule.output in self.events.fires)

    @property
    def has_both(self) -> bool:
        """Whether a chip and the reference ran, so that a loss can be judged."""
        return bool(self.chips) and REFERENCE in self.ran


def gate_names() -> tuple[str, ...]:
    """Return what ``--require`` takes."""
    return ("trained", *simulators(), "accuracy", "decisions", "values")


def check_tolerance(tolerance: float, where: str = "--tolerance") -> None:
    """Refuse a tolerance that is no share of a hundred.

    Raises:
        DeployError: it is below 0, above 100, or no number.
    """
    if not isinstance(tolerance, Real) or not 0 <= tolerance <= 100:
        shown = f"{tolerance:g}" if isinstance(tolerance, Real) else repr(tolerance)
        raise DeployError(
            f"{where} is {shown}; it must be from 0 to 100", where=where, fix="Give a number from 0 to 100."
        )


def judge(evidence: Evidence, demands: Demands) -> dict[str, Any]:
    """Return the comparison's ``verdict``, JSON-ready.

    ``fail`` where a gate was not passed, or is required and could not be judged; ``not-judged`` where what was passed
    means nothing, or a loss could not be judged although a chip and the reference ran; else ``pass``.
    """
    gates = {"trained": _equality(evidence.equalities["reference_trained"])}
    prefix = f"{EMULATOR}_"
    gates |= {
        name.removeprefix(prefix): _equality(one)
        for name, one in evidence.equalities.items()
        if name.startswith(prefix)
    }
    losses = {
        "accuracy": _accuracy(evidence, demands),
        "decisions": _decisions(evidence, demands),
        "values": _values(evidence, demands),
    }
    gates |= losses
    status, reasons = _outcome(gates, losses, evidence, demands)
    points = gates["accuracy"].measured or gates["decisions"].measured
    return {
        "status": status,
        "reasons": [*reasons, *happened(evidence)],
        "gates": {
            name: {
                "judged": gate.passed is not None,
                "passed": gate.passed,
                "required": name in demands.require,
                "reason": gate.reason,
            }
            for name, gate in gates.items()
        },
        "not_run": [f"{title(name)}: {g.reason}" for name, g in gates.items() if g.applies and g.passed is None],
        "accuracy_loss_points": gates["accuracy"].measured,
        "decisions_changed_percent": gates["decisions"].measured,
        "value_error_percent": gates["values"].measured,
        "tolerance_points": demands.tolerance,
        "value_tolerance_percent": demands.value_tolerance,
        "smallest_tolerance_points": max([0.0, *points.values()]),
    }


def title(gate: str) -> str:
    """Return what a gate is called in a sentence."""
    match gate:
        case "trained":
            return "reference == trained"
        case "accuracy":
            return "accuracy loss"
        case "decisions":
            return "changed decisions"
        case "values":
            return "value error"
    return f"{EMULATOR} == {gate}"


def happened(evidence: Evidence) -> list[str]:
    """Return what populations and registers did in the run, a sentence for each kind and backend."""
    return [*_changed_firing(evidence), *_overflows(evidence.events)]


def _changed_firing(evidence: Evidence) -> Iterator[str]:
    """Yield which populations fire on a chip and never in the reference, or the other way round.

    Outputs that fall silent are no decision, which is said of them elsewhere.
    """
    events, order = evidence.events, evidence.events.order
    outputs = {name.removesuffix(MEMBRANE) for name in evidence.outputs}
    for chip in evidence.chips if REFERENCE in evidence.ran else ():
        reference, own = events.spikes[REFERENCE], events.spikes[chip]
        held = [(node, reference[node], own[node]) for node in order if node in reference and node in own]
        woken = [f"{node} {counted(n, 'spike')}" for node, before, n in held if n and not before]
        lost = [f"{node} {counted(n, 'spike')}" for node, n, after in held if n and not after and node not in outputs]
        samples = counted(events.samples[chip], "sample")
        if woken:
            yield f"fires on {chip} and never in the reference: {', '.join(woken)} in {samples}"
        if lost and events.samples[chip] == events.samples[REFERENCE]:
            yield f"fires in the reference and never on {chip}: {', '.join(lost)} in {samples}"


def _overflows(events: Events) -> list[str]:
    """Return what left its register in the run, a sentence for each kind and backend."""
    found = []
    for backend, counters in events.overflows.items():
        for key, nodes in counters.items():
            listed = ", ".join(f"{node} {count:,} times" for node, count in nodes.items() if count)
            if listed:
                n = events.samples[backend]
                found.append(f"{OVERFLOWS[key]} on {backend}: {listed} in {counted(n, 'sample')}")
    return found


def _outcome(
    gates: dict[str, Gate], losses: dict[str, Gate], evidence: Evidence, demands: Demands
) -> tuple[str, list[str]]:
    """Return the status and the reasons for it."""
    failed = [f"{title(name)}: {gate.reason}" for name, gate in gates.items() if gate.passed is False]
    failed += [
        f"{title(name)} is required and could not be judged: {gate.reason}"
        for name, gate in gates.items()
        if gate.passed is None and name in demands.require
    ]
    if failed:
        return "fail", failed
    if vacuous := list(_vacuities(evidence, losses)):
        return "not-judged", [f"vacuous: {sentence}" for sentence in vacuous]
    passed = [f"{title(name)}: {gate.reason}" for name, gate in gates.items() if gate.passed]
    waiting = [(name, gate) for name, gate in losses.items() if gate.passed is None and gate.applies]
    open_losses = [f"{title(name)}: {gate.reason}" for name, gate in reversed(waiting)]
    if not passed or (evidence.has_both and not any(gate.passed for gate in losses.values())):
        return "not-judged", open_losses or ["no gate could be judged"]
    return "pass", passed


def _vacuities(evidence: Evidence, losses: dict[str, Gate]) -> Iterator[str]:
    """Yield why a pass would mean nothing, a sentence each."""
    answers, spikes, silent = evidence.answers, evidence.events.spikes, False
    for rule, name in product(evidence.rules, evidence.ran):
        if (sentence := silent_or_tied(answers, spikes.get(name, {}), name, rule)) is not None:
            silent = True
            yield sentence
    if silent or not evidence.has_both:
        return
    chosen = answers.settled.decision
    if losses["accuracy"].passed is not None and (sentence := guessed(answers, REFERENCE, chosen)) is not None:
        yield sentence
    if answers.labels is None and losses["decisions"].passed is not None:
        for rule in evidence.rules:
            if (sentence := constant(answers, REFERENCE, rule)) is not None and not _are_equal(evidence, rule):
                yield sentence


def _are_equal(evidence: Evidence, rule: Decision) -> bool:
    """Tell whether all chips give every spike of what decides as the reference does."""
    output = (rule.output or "").removesuffix(MEMBRANE)
    shares = evidence.agreements.result()["agreement"]
    return all(shares.get(chip, {}).get(output) == 1.0 for chip in evidence.chips)


def _equality(equality: dict[str, Any]) -> Gate:
    return Gate(equality["reason"], {"pass": True, "fail": False}.get(equality["status"]))


def _nothing_to_compare(evidence: Evidence) -> Gate | None:
    """Return the gate of a loss where no chip, or no reference, ran."""
    if not evidence.chips:
        return Gate("no backend that stands for the chip ran")
    return Gate("the reference did not run") if REFERENCE not in evidence.ran else None


def _accuracy(evidence: Evidence, demands: Demands) -> Gate:
    answers = evidence.answers
    if answers.labels is None:
        return Gate("the data has no labels", applies=not answers.has_targets)
    chosen, candidates = answers.settled.decision, answers.settled.candidates
    if chosen is None and not candidates:
        return Gate(answers.settled.sentence)
    if (lacking := _nothing_to_compare(evidence)) is not None:
        return lacking
    if chosen is not None:
        return _accuracy_by(evidence, demands, chosen, answers.labels)
    # Nobody chose; what holds of every rule that could be meant holds all the same, if none of them is a guess.
    if any(guessed(answers, REFERENCE, rule) for rule in candidates):
        return Gate(answers.settled.sentence)
    gates = [_accuracy_by(evidence, demands, rule, answers.labels) for rule in candidates]
    if len({gate.passed for gate in gates}) > 1 or gates[0].passed is None:
        return Gate(answers.settled.sentence)
    worst = max(gates, key=lambda gate: max(gate.measured.values()))
    listed = ", ".join(str(rule) for rule in candidates)
    return replace(worst, reason=f"whichever of {listed} decides, {worst.reason}")


def _accuracy_by(evidence: Evidence, demands: Demands, rule: Decision, labels: NDArray[np.int64]) -> Gate:
    """Return the gate of accuracy if a rule decides."""
    measured = {}
    for chip in evidence.chips:
        if (pair := _both(evidence.answers, chip, rule)) is None:
            return Gate(f"{chip} or the reference did not record {rule.output}")
        own, reference = pair
        right = labels[: len(own)]
        measured[chip] = 100.0 * (int((reference == right).sum()) - int((own == right).sum())) / len(own)
    return _within(measured, _points, demands.tolerance, "{:g} are tolerated")


def _decisions(evidence: Evidence, demands: Demands) -> Gate:
    answers = evidence.answers
    if answers.has_targets:
        return Gate("the output gives numbers, not classes", applies=False)
    if answers.labels is not None and "decisions" not in demands.require:
        return Gate("the labels are used instead", applies=False)
    rules = evidence.rules
    if not rules:
        return Gate("no output fires, and --decide does not say what decides", applies=False)
    if (lacking := _nothing_to_compare(evidence)) is not None:
        return replace(lacking, applies=answers.labels is None)
    measured = {}
    for chip in evidence.chips:
        changed = [_changed(answers, chip, rule) for rule in rules]
        if None in changed:
            return Gate(f"{chip} or the reference did not record what decides")
        measured[chip] = max(share for share in changed if share is not None)
    return _within(
        measured, "decides {:.2f} % of the samples differently".format, demands.tolerance, "{:g} % are tolerated"
    )


def _values(evidence: Evidence, demands: Demands) -> Gate:
    answers = evidence.answers
    is_asked = answers.has_targets or "values" in demands.require
    if not is_asked and (answers.labels is not None or answers.settled.decision is not None):
        return Gate("the output decides classes", applies=False)
    read = [name for name in evidence.outputs if name not in evidence.events.fires]
    if not is_asked and evidence.rules and all(name.endswith(MEMBRANE) for name in read):
        return Gate("the spikes of the outputs are used instead", applies=False)
    if not read and not answers.has_targets:
        return Gate("no output is read as a value", applies=False)
    if (lacking := _nothing_to_compare(evidence)) is not None:
        return lacking
    if not read:
        return _targets(evidence, demands)
    measured = {}
    for chip in evidence.chips:
        nodes = evidence.agreements.values.get(chip, {})
        for node in read:
            if node not in nodes:
                return Gate(f"{chip} or the reference did not record {node}")
            found = nodes[node].result()
            if not found["spread"]:
                return Gate(f"{node} has the same value throughout on the reference")
            measured[f"{chip}, {node}"] = 100.0 * sqrt(found["mean_squared_error"]) / found["spread"]
    wording = "is off by {:.2f} % of the reference's standard deviation (root mean square)"
    return _within(measured, wording.format, demands.value_tolerance, "{:g} % are tolerated")


def _targets(evidence: Evidence, demands: Demands) -> Gate:
    """Return the gate of numbers that are made of spikes: by how much further they are from their targets."""
    errors = evidence.answers.errors
    if lacking := [name for name in (REFERENCE, *evidence.chips) if name not in errors]:
        return Gate(f"{', '.join(lacking)} gave no numbers to compare with y: {evidence.answers.settled.sentence}")
    found = {name: errors[name].result() for name in (REFERENCE, *evidence.chips)}
    spread = found[REFERENCE]["spread"]
    if not spread:
        return Gate("y is the same throughout")
    off = {name: 100.0 * sqrt(one["mean_squared_error"]) / spread for name, one in found.items()}
    measured = {name: max(0.0, off[name] - off[REFERENCE]) for name in evidence.chips}
    wording = "is further from y than the reference by {:.2f} % of y's standard deviation (root mean square)"
    return _within(measured, wording.format, demands.value_tolerance, "{:g} % are tolerated")


def _points(loss: float) -> str:
    return f"loses {loss:.2f} points of accuracy" if loss >= 0 else f"gains {-loss:.2f} points of accuracy"


def _within(measured: dict[str, float], wording: Callable[[float], str], tolerance: float, tolerated: str) -> Gate:
    """Return a gate that every backend's loss has to pass."""
    beyond = {name: loss for name, loss in measured.items() if loss > tolerance + _ROUNDING}
    said = "; ".join(f"{name} {wording(loss)}" for name, loss in (beyond or measured).items())
    return Gate(f"{said}, {tolerated.format(tolerance)}", not beyond, measured=measured)


def _both(answers: Answers, chip: str, rule: Decision | None = None) -> tuple[Any, Any] | None:
    """Return what a chip and the reference decide on the samples that both ran, or None."""
    own, reference = answers.of(chip, rule), answers.of(REFERENCE, rule)
    if own is None or reference is None:
        return None
    n = min(len(own), len(reference))
    return own[:n], reference[:n]


def _changed(answers: Answers, chip: str, rule: Decision) -> float | None:
    """Return per cent of the samples that a chip decides otherwise, or None."""
    pair = _both(answers, chip, rule)
    return None if pair is None else 100.0 * float(np.mean(pair[0] != pair[1]))
