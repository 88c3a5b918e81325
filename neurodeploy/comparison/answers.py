"""The decisions of backends, sample by sample, and how far their numbers are from the targets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends import REFERENCE
from neurodeploy.coding.data import Data, Samples, has_rows
from neurodeploy.coding.scoring import Pairs, is_recorded, mcnemar, read_rows, scores, wilson, winners
from neurodeploy.comparison.tallies import Block
from neurodeploy.errors import DeployError, counted
from neurodeploy.ir.decision import Decision, Settled, check_labels, class_count, n_classes, readouts, settle_decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording


@dataclass(eq=False, slots=True)
class Answers:
    """Decisions of each backend on all samples, by the rule that was chosen, or else by each that could be meant.

    settled: what decides, or the question. labels: int64 (B,), or None.
    row_output: what is compared with targets row by row, or None. has_targets: whether there are any.
    decided, tied: class of each sample, and whether another class scores as high, by rule and backend.
    errors: numbers compared with targets, by backend.
    """

    settled: Settled
    labels: NDArray[np.int64] | None
    row_output: str | None = None
    has_targets: bool = False
    decided: dict[Decision, dict[str, list[NDArray[np.int64]]]] = field(default_factory=dict)
    tied: dict[Decision, dict[str, int]] = field(default_factory=dict)
    errors: dict[str, Pairs] = field(default_factory=dict)

    def add(self, block: Block, data: Data) -> None:
        """Decide a block; ``data`` has the block's targets, if there are any."""
        chosen = self.settled.decision
        for decision in self.settled.candidates if chosen is None else (chosen,):
            for name, recording in block.items():
                if recording.n_samples and is_recorded(recording, decision):
                    self._decide(decision, name, recording)
        if data.targets is not None:
            for name, recording in block.items():
                self._err(name, recording, data)

    def _decide(self, decision: Decision, name: str, recording: Recording) -> None:
        found, ties = winners(scores(recording, decision))
        self.decided.setdefault(decision, {}).setdefault(name, []).append(found)
        counts = self.tied.setdefault(decision, {})
        counts[name] = counts.get(name, 0) + int(ties.sum())

    def _err(self, name: str, recording: Recording, data: Data) -> None:
        """Compare a block's numbers with its targets: each row's, or what the rule makes of them."""
        assert data.targets is not None
        n, decision = recording.n_samples, self.settled.decision
        if self.row_output is not None:
            decision = Decision("sum", self.row_output)
        if decision is None or not n or not is_recorded(recording, decision):
            return
        if self.row_output is not None:
            found, wanted = read_rows(recording, decision), data.targets[:, :n]
        else:
            found, wanted = scores(recording, decision), data.targets[:n]
        self.errors.setdefault(name, Pairs()).add(wanted.reshape(found.shape), found)

    @property
    def backends(self) -> tuple[str, ...]:
        """Those that decide by the rule that was chosen."""
        chosen = self.settled.decision
        return () if chosen is None else tuple(self.decided.get(chosen, {}))

    def of(self, name: str, decision: Decision | None = None) -> NDArray[np.int64] | None:
        """Return what a backend decides, int64 (B,), or None where it decides nothing."""
        decision = decision or self.settled.decision
        blocks = None if decision is None else self.decided.get(decision, {}).get(name)
        return None if blocks is None else np.concatenate(blocks)

    def result(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Return the comparison's keys on decisions, accuracy (but of ``without``) and regression."""
        chosen = self.settled.decision
        found = {} if chosen is None or self.labels is None else self._detail(chosen)
        detail = {name: of_backend for name, of_backend in found.items() if name not in without}
        return {
            "decision": self._decision(),
            "accuracy": {name: found["correct"] / found["samples"] for name, found in detail.items()},
            "accuracy_detail": detail,
            "accuracy_output": None if chosen is None else chosen.output,
            "accuracy_candidates": self._candidates(),
            "regression": {name: pairs.result() for name, pairs in self.errors.items()},
        }

    def _decision(self) -> dict[str, Any]:
        chosen = self.settled.decision
        if chosen is None and self.labels is None and not self.has_targets:
            return {"rule": None, "because": "nothing is scored: the data has no y", "question": None, "ties": {}}
        if chosen is None:
            return {"rule": None, "because": self.settled.because, "question": self.settled.sentence, "ties": {}}
        decided, tied = self.decided.get(chosen, {}), self.tied.get(chosen, {})
        ties = {name: tied[name] / sum(map(len, blocks)) for name, blocks in decided.items()}
        return {"rule": str(chosen), "because": self.settled.because, "question": None, "ties": ties}

    def _candidates(self) -> dict[str, dict[str, float]]:
        """Return the accuracy by each rule that could be meant, by backend, where nobody chose."""
        if self.settled.decision is not None:
            return {}
        found: dict[str, dict[str, float]] = {}
        for decision in self.settled.candidates:
            shares = found.setdefault(str(decision), {})
            for name in self.decided.get(decision, {}):
                answers = self.of(name, decision)
                if answers is not None and self.labels is not None:
                    shares[name] = float((answers == self.labels[: len(answers)]).mean())
        return found

    def _detail(self, chosen: Decision) -> dict[str, Any]:
        """Return what each accuracy is counted from, its interval, and a test against the reference."""
        detail: dict[str, Any] = {}
        right: dict[str, NDArray[np.bool_]] = {}
        assert self.labels is not None
        for name in self.decided.get(chosen, {}):
            answers = self.of(name)
            assert answers is not None
            right[name] = answers == self.labels[: len(answers)]
            correct, n = int(right[name].sum()), len(answers)
            detail[name] = {"correct": correct, "samples": n, "interval_95": list(wilson(correct, n))}
        for name in right.keys() - {REFERENCE} if REFERENCE in right else ():
            n = min(len(right[name]), len(right[REFERENCE]))
            detail[name]["mcnemar"] = mcnemar(right[REFERENCE][:n], right[name][:n])
        return detail


def make_answers(network: Network | Program, data: Samples, decide: Decision | str | None) -> Answers:
    """Return what is to be counted of a network's answers to data.

    Args:
        network: the model, or a program of it.
        data: samples, with labels or target values if they have any.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.

    Raises:
        DeployError: the rule does not fit the network, or the labels do not fit what it decides.
    """
    labels, targets = data.labels, data.targets
    by_row = targets is not None and has_rows(targets, data.n_steps, data.n_samples)
    settled = settle_decision(network, decide, class_count(labels), regression=targets is not None)
    found = readouts(network)
    row_output = None
    if by_row and (settled.decision is not None or len(found) == 1):
        row_output = found[0].name if settled.decision is None else settled.decision.output
    check_labels(network, settled, labels, data.source)
    if targets is not None:
        _check_targets(network, settled, targets[:, 0].size // data.n_steps if by_row else targets[0].size, data.source)
    return Answers(settled, labels, row_output, targets is not None)


def _check_targets(subject: Network | Program, settled: Settled, wanted: int, source: str) -> None:
    """Refuse targets that are not as many numbers as an output gives."""
    decisions = settled.candidates if settled.decision is None else (settled.decision,)
    given = {str(decision.output): n_classes(decision, subject) for decision in decisions}
    if wanted not in given.values():
        listed = ", ".join(f"{name} gives {n}" for name, n in given.items())
        raise DeployError(
            f"y has {counted(wanted, 'real number')} per sample or row, but {listed}",
            where=source,
            fix="Store one number for each unit of the output, for each sample or each row; for classes, store whole"
            " numbers of an integer type.",
        )
