"""Options of a run: what to record, how to run, and which rows are the model's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known

Inputs = dict[str, NDArray[Any]]
"""For each input of the model ``[T, B, *shape]``."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run: what to record, and how to run.

    record: which of ``spikes``, ``v``, ``u``.
    nodes: populations to record, or None for all.
    arithmetic: overrides the program's; integer backends only.
    time_limit: seconds after which a run is ended, or None.
    raw_time: keep the hardware's rows instead of cutting each node's latency.
    device: torch device of the reference.
    counters: count events; emulator only.
    progress: called with (steps done, steps in all), or None.
    threads: samples run at the same time at most, or None for one on each core; emulator only.
    membranes: firing populations of which v is recorded, whatever ``record`` says.
    """

    record: tuple[str, ...] = ("spikes",)
    nodes: tuple[str, ...] | None = None
    arithmetic: str | None = None
    time_limit: float | None = None
    raw_time: bool = False
    device: str = "cpu"
    counters: bool = True
    progress: Callable[[int, int], None] | None = None
    threads: int | None = None
    membranes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise DeployError(
                f"--time-limit is {self.time_limit:g}; it must be above 0",
                where="--time-limit",
                fix="Give a number of seconds above 0.",
            )
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise DeployError(
                f"threads is {self.threads!r}; it must be at least 1",
                where="threads",
                fix="Give a number of 1 or more, or None for one thread on each core.",
            )

    def observed(self, name: str) -> tuple[str, ...]:
        """Return which observables of a population are recorded."""
        return (*self.record, "v") if name in self.membranes and "v" not in self.record else self.record

    def recorded(self, names: tuple[str, ...], usual: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return which of ``names`` are recorded, in their order; ``usual`` ones, or all, where none is asked for.

        Raises:
            DeployError: a node is asked for that does not exist.
        """
        if self.nodes is None:
            return names if usual is None else usual
        for node in self.nodes:
            if node not in names:
                raise DeployError(
                    f"there is no node {node!r}", where="--record-nodes", fix=f"Choose from the nodes {known(names)}."
                )
        return tuple(name for name in names if name in self.nodes)


def model_rows(values: NDArray[Any], latency: int, n_steps: int, raw_time: bool) -> NDArray[Any]:
    """Return the model's rows of an array whose first axis is hardware steps.

    Args:
        values: any dtype, ``[rows, ...]``.
        latency: hardware step of the node's row 0.
        n_steps: rows of the model.
        raw_time: return all rows of the hardware.
    """
    return values if raw_time else values[latency : latency + n_steps]


def observables(record: tuple[str, ...], fires: bool) -> tuple[str, ...]:
    """Return what is recorded of a node; one that does not fire has, always and first, ``value`` in place of spikes."""
    return record if fires else ("value", *(key for key in record if key not in ("spikes", "value")))
