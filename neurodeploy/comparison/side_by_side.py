"""Compare a model on several chips: what each of them makes of it, or why it refuses it, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from neurodeploy.backends import REFERENCE
from neurodeploy.coding.given import Given
from neurodeploy.comparison.compare import FORMAT, VERSION, Case, Comparison, put, run_cases
from neurodeploy.comparison.question import Question, ask
from neurodeploy.comparison.runner import LAVA_SAMPLES, Pace, Progress
from neurodeploy.comparison.verdict import TOLERANCE_POINTS, VALUE_TOLERANCE, demand
from neurodeploy.compiler.keywords import Compiling, shows
from neurodeploy.errors import BackendError, DeployError, known
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.decision import Decision
from neurodeploy.ir.plan import Plan
from neurodeploy.ir.recording import Recorded
from neurodeploy.notebook import Summarised, Summary
from neurodeploy.targets.target import Target

REFUSED = "refused"
"""The status of a chip that does not take the network, beside those of a verdict."""

LOSSES = ("accuracy_loss_points", "decisions_changed_percent", "value_error_percent")
"""The losses of a verdict, each by backend."""

TRAINED = "trained"
"""The framework's own recording among the backends, which is the same whatever the chip."""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class SideBySide(Summarised):
    """Several chips that were asked the same: one model on the same data, with the same demands.

    targets: the chips by name, as they were given. comparisons: of those that take the network.
    refusals: why each of the others does not.
    result: the comparison file's content (DESIGN section 4), JSON-ready.
    """

    targets: dict[str, Target]
    comparisons: dict[str, Comparison]
    refusals: dict[str, DeployError]
    result: dict[str, Any]

    def summary(self) -> Summary:
        """Return what a terminal or a notebook shows of it."""
        chips = self.result["summary"]
        rows = tuple((name, chip["status"], chip["reason"]) for name, chip in chips.items())
        return Summary(
            f"verdict {self.result['verdict']['status']} on {', '.join(chips)}", ("chip", "", "reason"), rows
        )

    @property
    def passed(self) -> bool:
        """Whether every chip takes the network and nothing is outside the tolerance."""
        return bool(self.result["verdict"]["status"] == "pass")

    def refusal(self) -> DeployError | None:
        """Return the refusal of all chips as one, or None where a chip takes the network."""
        if self.comparisons:
            return None
        reasons = "; ".join(f"{name}: {error.what}" for name, error in self.refusals.items())
        places = dict.fromkeys(error.where for error in self.refusals.values())
        fixes = dict.fromkeys(error.fix for error in self.refusals.values())
        return DeployError(f"no chip takes the network: {reasons}", where=", ".join(places), fix=" ".join(fixes))


@shows(Compiling)
def compare_targets(
    model: Path | str | Any,
    targets: Sequence[str | Path | Target],
    data: Given,
    *,
    dialect: str | None = None,
    only: tuple[str, ...] | str = (),
    trained: Recorded | str | Path | None = None,
    lava_samples: int = LAVA_SAMPLES,
    tolerance: float = TOLERANCE_POINTS,
    value_tolerance: float = VALUE_TOLERANCE,
    require: tuple[str, ...] | str = (),
    time_limit: float | None = None,
    progress: Progress | None = None,
    decide: Decision | str | None = None,
    plan: Plan | Path | str | None = None,
    calibrate: Given | None = None,
    **compiling: Unpack[Compiling],
) -> SideBySide:
    """Compile a model for several chips, run it on backends, and compare; the reference runs once for all chips.

    A chip that refuses the network, or the data, keeps the others from nothing: its refusal stands in its place.

    Args:
        model: path of a ``.nir`` file or an in-memory ``nir.NIRGraph``.
        targets: the chips, each as :func:`neurodeploy.compare` takes it.
        data, dialect, only, trained, lava_samples, tolerance, value_tolerance, require, time_limit, decide, plan,
            calibrate: as :func:`neurodeploy.compare` takes them.
        progress: called with (backend, done, in all); the backend is named with the chip, but for the reference.
        **compiling: how the model is compiled for each chip; see below.

    Raises:
        DeployError: the model, the data or an option is refused, two chips have the same name, or all of them refuse
            in the same words, which are then about no chip.
        BackendError: a backend that was named is missing, or one died.
    """
    chips = _by_name((targets,) if isinstance(targets, (str, Path, Target)) else targets)
    question = ask(
        model,
        data,
        dialect=dialect,
        program=None,
        only=only,
        trained=trained,
        demands=demand(tolerance, value_tolerance, require),
        pace=Pace(lava_samples, time_limit, progress),
        decide=decide,
        compiling={"plan": plan, "calibrate": calibrate, **compiling},
    )
    question.refuse_unsuited(list(chips.values()))
    cases, refusals = _put_to_all(question, chips)
    if cases:
        refusals |= run_cases(question, cases)
    comparisons = {case.chip.name: case.comparison() for case in cases if case.chip.name not in refusals}
    refusals = {name: refusals[name] for name in chips if name in refusals}
    if len(chips) > 1 and not comparisons and len({str(error) for error in refusals.values()}) == 1:
        raise next(iter(refusals.values()))
    return SideBySide(chips, comparisons, refusals, _result(question, chips, comparisons, refusals))


def _by_name(targets: Sequence[str | Path | Target]) -> dict[str, Target]:
    """Return chips by name; of two with the same name one would take the other's place, and none is no comparison."""
    chips = [load_target(target) for target in targets]
    names = [chip.name for chip in chips]
    if not names:
        raise DeployError("no chip is given", where="--target", fix="Name one or several.")
    if twice := {name for name in names if names.count(name) > 1}:
        raise DeployError(
            f"several chips are called {known(twice)}",
            where="--target",
            fix="Give each chip once; in a TOML file, name = ... is what the chip is called.",
        )
    return dict(zip(names, chips, strict=True))


def _put_to_all(question: Question, chips: dict[str, Target]) -> tuple[list[Case], dict[str, DeployError]]:
    """Return the question as it is put to each chip that takes the network, and why the others refuse it."""
    cases: list[Case] = []
    refusals: dict[str, DeployError] = {}
    for name, chip in chips.items():
        pace = replace(question.pace, progress=_labelled(question.pace.progress, name))
        try:
            cases.append(put(question, chip, pace, len(chips)))
        except BackendError:
            raise
        except DeployError as error:
            refusals[name] = error
    return cases, refusals


def _labelled(progress: Progress | None, chip: str) -> Progress | None:
    """Return what reports the progress of backends with the chip that they stand for."""
    if progress is None:
        return None
    return lambda name, done, total: progress(name if name == REFERENCE else f"{chip} {name}", done, total)


def _result(
    question: Question,
    chips: dict[str, Target],
    comparisons: dict[str, Comparison],
    refusals: dict[str, DeployError],
) -> dict[str, Any]:
    """Return the comparison file's content."""
    refused = {name: {REFUSED: [_refusal(error)]} for name, error in refusals.items()}
    summary = {name: _taken(comparisons[name]) if name in comparisons else _refused(refusals[name]) for name in chips}
    not_run = {"status": "not-run", "reason": "no chip takes the network, so that nothing was run"}
    trained = [one.result["equalities"]["reference_trained"] for one in comparisons.values()]
    return {
        "format": FORMAT,
        "version": VERSION,
        "targets": {name: comparisons[name].result if name in comparisons else refused[name] for name in chips},
        "equalities": {"reference_trained": next(iter(trained), not_run)},
        "summary": summary,
        "provenance": question.provenance(),
        "samples": question.data.n_samples,
        "steps": question.data.n_steps,
        "nodes": [population.name for population in question.network.populations],
        "verdict": {"status": _worst(summary), "reasons": _reasons(summary)},
    }


def _refusal(error: DeployError) -> dict[str, str]:
    return {"what": error.what, "where": error.where, "fix": error.fix}


def _refused(error: DeployError) -> dict[str, Any]:
    """Return the summary of a chip that refuses the network."""
    nothing: dict[str, Any] = {key: {} for key in ("accuracy", *LOSSES, "agreement", "equalities")}
    return {"status": REFUSED, "reason": error.what, "fit": None, "energy": None, **nothing}


def _taken(comparison: Comparison) -> dict[str, Any]:
    """Return the summary of a chip that takes the network."""
    result, verdict = comparison.result, comparison.result["verdict"]
    return {
        "status": verdict["status"],
        "reason": verdict["reasons"][0],
        "fit": result["fit"],
        "accuracy": result["accuracy"],
        **{key: verdict[key] for key in LOSSES},
        "agreement": {name: nodes for name, nodes in result["agreement"].items() if name != TRAINED},
        "equalities": {name: equality["status"] for name, equality in result["equalities"].items()},
        "energy": _energy(result["energy"]),
    }


def _energy(estimate: dict[str, Any] | None) -> dict[str, Any]:
    """Return a chip's energy per sample, or the statement why there is no figure of its own."""
    if estimate is None:
        return {"low_j": None, "high_j": None, "statement": "The emulator did not run, so that no events were counted."}
    if estimate["statement"] is not None:
        return {"low_j": None, "high_j": None, "statement": estimate["statement"]}
    return {key: estimate[key] for key in ("low_j", "high_j", "statement")}


def _worst(summary: dict[str, dict[str, Any]]) -> str:
    """Return the verdict on all chips, which is that on the worst; to refuse the network is to fail."""
    worst: str = min((chip["status"] for chip in summary.values()), key=_FROM_THE_WORST.index)
    return "fail" if worst == REFUSED else worst


def _reasons(summary: dict[str, dict[str, Any]]) -> list[str]:
    """Return a sentence for each chip, the worst first."""
    ranked = sorted(summary.items(), key=lambda one: _FROM_THE_WORST.index(one[1]["status"]))
    return [f"{name}: {chip['status']}: {chip['reason']}" for name, chip in ranked]


_FROM_THE_WORST = (REFUSED, "fail", "not-judged", "pass")
