"""Results that mean nothing: an output that never fires, decisions that are all ties, a guess."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurodeploy.comparison.answers import Answers
from neurodeploy.ir.decision import OF_SPIKES, Decision

THE_RUN = "run"
"""What the only backend is called where there is one."""


def silent_or_tied(answers: Answers, spikes: Mapping[str, float], name: str, decision: Decision) -> str | None:
    """Return in a sentence why a backend decides nothing, or None.

    Args:
        answers: with the backend's decisions.
        spikes: how often each node fired on this backend.
        name: of the backend.
        decision: the rule.
    """
    if (decided := answers.of(name, decision)) is None:
        return None
    node = decision.output or ""
    if node in spikes and not spikes[node]:
        return f"output {node} never fires{_on(name)}, so every sample is decided as class 0{_membrane_hint(decision)}"
    if answers.tied[decision][name] == len(decided):
        return f"several classes score highest in every sample{_on(name)}, so all are decided by a tie"
    return None


def undecided(answers: Answers, spikes: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return by backend why what it decides is no decision; ``spikes`` by backend and node."""
    decision = answers.settled.decision
    if decision is None:
        return {}
    found = {name: silent_or_tied(answers, spikes.get(name, {}), name, decision) for name in answers.backends}
    return {name: sentence for name, sentence in found.items() if sentence is not None}


def guessed(answers: Answers, name: str, decision: Decision | None = None) -> str | None:
    """Return in a sentence why a backend is no better than the most common label, or None; None for the chosen rule.

    Args:
        answers: with the backend's decisions and the labels.
        name: the backend's name.
        decision: the rule, or None for the one that was chosen.
    """
    decided = answers.of(name, decision)
    if decided is None or answers.labels is None:
        return None
    labels = answers.labels[: len(decided)]
    counts = np.bincount(labels)
    right, most = int((decided == labels).sum()), int(counts.max())
    if right > most:
        return None
    return (
        f"{right} of {len(labels)} samples are decided rightly{_on(name)}, and always answering class {counts.argmax()}"
        f" would decide {most}{_labels_hint(answers)}"
    )


def constant(answers: Answers, name: str, decision: Decision) -> str | None:
    """Return in a sentence that a backend decides all samples alike, or None.

    Args:
        answers: with the backend's decisions.
        name: the backend's name.
        decision: the rule.
    """
    decided = answers.of(name, decision)
    if decided is None or not len(decided) or (decided != decided[0]).any():
        return None
    return f"every sample is decided as class {decided[0]}{_on(name)}, so decisions that do not change prove nothing"


def unusual_labels(answers: Answers) -> str | None:
    """Return a sentence on labels that seem to count from 1, or None."""
    labels = answers.labels
    if labels is None or not labels.size or labels.min() == 0:
        return None
    return (
        f"labels run from {labels.min()} to {labels.max()} and none is 0; class 0 is the output's first unit, so"
        " subtract 1 if they count from 1"
    )


def _on(name: str) -> str:
    """Name the backend, where there are several."""
    return "" if name == THE_RUN else f" on {name}"


def _membrane_hint(decision: Decision) -> str:
    if decision.rule not in OF_SPIKES:
        return ""
    return f"; where the model's answer is its potential, say --decide max,output={decision.output}.v, or sum or last"


def _labels_hint(answers: Answers) -> str:
    said = unusual_labels(answers)
    return "" if said is None else f" ({said})"
