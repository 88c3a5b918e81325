"""The order in which widths are tried: by what each costs alone, or as optuna's sampler proposes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from neurodeploy.errors import BackendError
from neurodeploy.search.budget import Budget
from neurodeploy.search.trials import Trial, Widths

Measure = Callable[[Widths], Trial | None]

EXCHANGES = 6
"""Exchanges, one projection made narrower and another wider, that are tried for each projection at most."""


class Change(NamedTuple):
    """Projections, by place, and the widths that they are to take."""

    moves: tuple[tuple[int, int | str], ...]

    def of(self, widths: Widths) -> Widths:
        """Return widths with these changed."""
        changed = dict(self.moves)
        return tuple(changed.get(place, width) for place, width in enumerate(widths))


@dataclass(frozen=True, eq=False, slots=True)
class Sensitivity:
    """What each projection costs and loses at each width, if all others have the widest.

    alone: trials by place and width; what is refused is not there. choices: widths, the widest first.
    """

    alone: dict[tuple[int, int | str], Trial]
    choices: Widths
    budget: Budget

    def narrower(self, widths: Widths) -> list[Change]:
        """Return all changes of one projection that save something."""
        changes = [Change(((place, choice),)) for place in range(len(widths)) for choice in self.choices]
        return [change for change in changes if self._has(change) and self.expect(widths, change)[0] > 0]

    def exchanges(self, widths: Widths) -> list[Change]:
        """Return all changes that save something by one narrower projection, and make another one step wider."""
        found = []
        for change in self.narrower(widths):
            for place, width in enumerate(widths):
                rank = self.choices.index(width)
                both = Change((*change.moves, (place, self.choices[rank - 1])))
                possible = rank > 0 and place != change.moves[0][0] and self._has(both)
                if possible and self.expect(widths, both)[0] > 0:
                    found.append(both)
        return found

    def expect(self, widths: Widths, change: Change) -> tuple[float, list[float]]:
        """Return what a change should save, and by how much it should raise each loss, were each projection alone."""
        pairs = [(self.alone[place, widths[place]], self.alone[place, width]) for place, width in change.moves]
        saved = sum(self.budget.cost(before) - self.budget.cost(after) for before, after in pairs)
        risen = [[b - a for a, b in zip(*map(self._losses, pair), strict=True)] for pair in pairs]
        return saved, [max(0.0, sum(each)) for each in zip(*risen, strict=True)]

    def best(self, widths: Widths, changes: list[Change]) -> Change | None:
        """Return the change that should lose least per byte or joule saved; the first of those that are equal."""

        def rank(change: Change) -> tuple[float, ...]:
            saved, risen = self.expect(widths, change)
            return (*(loss / saved for loss in risen), -saved)

        return min(changes, key=rank, default=None)

    def _losses(self, trial: Trial) -> tuple[float, ...]:
        """Return what the budget counts, then the spikes that differ: they decide where few samples change class."""
        return (*self.budget.losses(trial), 1.0 - trial.agreement_all)

    def _has(self, change: Change) -> bool:
        return all(move in self.alone for move in change.moves)


def search_by_sensitivity(measure: Measure, start: Trial, choices: Widths, budget: Budget) -> None:
    """Measure each narrower width alone, then take the one that loses least per byte or joule, while the budget holds.

    What breaks the budget is taken back. Where nothing narrower holds, a projection is made wider so that another can
    be narrower. Nothing is left to chance.

    Args:
        measure: returns a trial, or None where widths are refused.
        start: the widest widths.
        choices: widths of a projection, the widest first.
        budget: what must hold, and what is to be small.
    """
    n = len(start.widths)
    alone: dict[tuple[int, int | str], Trial] = {}
    for place in range(n):
        for width in choices:
            trial = measure(Change(((place, width),)).of(start.widths))
            if trial is not None:
                alone[place, width] = trial
    sensitivity = Sensitivity(alone, choices, budget)
    current, taken_back, left = start, set[Change](), EXCHANGES * n
    while True:
        widths = current.widths
        change = sensitivity.best(widths, [c for c in sensitivity.narrower(widths) if c not in taken_back])
        exchanged = change is None and left > 0
        if exchanged:
            left -= 1
            change = sensitivity.best(widths, [c for c in sensitivity.exchanges(widths) if c not in taken_back])
        if change is None:
            return
        trial = measure(change.of(widths))
        if trial is None or not budget.keeps(trial) or budget.cost(trial) >= budget.cost(current):
            taken_back.add(change)
            continue
        current = trial
        if exchanged:
            taken_back.clear()


def most_by_sensitivity(n: int, choices: Widths) -> int:
    """Return how many trials a search of ``n`` projections usually takes at most, for a progress bar."""
    return 1 + 2 * n * (len(choices) - 1) + EXCHANGES * n


def search_by_optuna(
    measure: Measure, start: Trial, choices: Widths, budget: Budget, *, seed: int, n_trials: int
) -> None:
    """Measure the widths that optuna's tree-structured Parzen estimator proposes; the same seed proposes the same.

    Args:
        measure: as for :func:`search_by_sensitivity`, as are the next three.
        start: the widest widths.
        choices: widths of a projection, the widest first.
        budget: what must hold, and what is to be small.
        seed: of the sampler.
        n_trials: how many proposals are taken.

    Raises:
        BackendError: optuna is not installed.
    """
    optuna = load_optuna()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = [str(place) for place in range(len(start.widths))]

    def score(proposal: Any) -> float:
        trial = measure(tuple(choices[proposal.suggest_int(name, 0, len(choices) - 1)] for name in names))
        return float("inf") if trial is None else _score(trial, start, budget)

    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        for rank in range(len(choices)):
            study.enqueue_trial(dict.fromkeys(names, rank))
        study.optimize(score, n_trials=n_trials)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _score(trial: Trial, start: Trial, budget: Budget) -> float:
    """Return the share of the start's cost that is left; above all of these, how far the budget is broken."""
    if budget.keeps(trial):
        return budget.cost(trial) / budget.cost(start)
    over = [loss - most for loss, most in zip(budget.losses(trial), budget.allowed, strict=True)]
    return 2.0 + sum(max(0.0, one) for one in over)


def load_optuna() -> Any:
    """Return the module optuna.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import optuna  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise BackendError(
            "optuna is not installed",
            where="--search-method optuna",
            fix="Install it: pip install 'neurodeploy[search]'; or use --search-method sensitivity.",
        ) from error
    return optuna
