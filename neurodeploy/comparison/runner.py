"""Run backends side by side on the same data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from neurodeploy import backends
from neurodeploy.backends import EMULATOR
from neurodeploy.backends.base import Backend
from neurodeploy.backends.run import recorded_bytes
from neurodeploy.budget import MAX_RUN_BYTES
from neurodeploy.coding.data import Data, Samples
from neurodeploy.comparison.measures import first_difference
from neurodeploy.errors import BackendError, DeployError, counted
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions

LAVA_SAMPLES = 32
"""Samples that slow backends run, from the first on."""

Progress = Callable[[str, int, int], None]


def choose_backends(only: tuple[str, ...]) -> tuple[dict[str, Backend], dict[str, str]]:
    """Return the backends to run, by name, and why each of the others does not."""
    found = {name: backends.load(name) for name in dict.fromkeys(only or backends.names())}
    missing = {name: one.missing() for name, one in found.items()}
    for name in only:
        if (reason := missing[name]) is not None:
            raise BackendError(f"backend {name!r} cannot run here", where="--backend", fix=reason)
    not_run = {name: reason for name, reason in missing.items() if reason is not None}
    not_run.update({name: "not asked for" for name in backends.names() if only and name not in only})
    return {name: one for name, one in found.items() if missing[name] is None}, not_run


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits on how long backends may take.

    lava_samples: what slow backends run, from the first sample on. time_limit: seconds for those that can be ended.
    progress: called with (backend, done, in all), or None.
    """

    lava_samples: int = LAVA_SAMPLES
    time_limit: float | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.lava_samples < 1:
            raise DeployError(
                f"lava_samples is {self.lava_samples}; it must be at least 1",
                where="--lava-samples",
                fix="Give a number of 1 or more.",
            )
        RunOptions(time_limit=self.time_limit)


class Runner:
    """Runs backends on the same data; slow ones on the first samples only."""

    def __init__(
        self,
        network: Network,
        program: Program,
        data: Samples,
        chosen: dict[str, Backend],
        pace: Pace,
        read: tuple[str, ...] = (),
    ) -> None:
        self.network, self.program, self.data = network, program, data
        self.backends, self.pace = chosen, pace
        self.read, self.order = read, tuple(population.name for population in network.populations)
        self.short: dict[str, Recording] = {}
        self._check_memory()

    @property
    def bytes_a_sample(self) -> int:
        """What one sample takes while it runs on a backend that is not slow."""
        options = RunOptions(membranes=self.read)
        return max(recorded_bytes(subject, self.data.n_steps, options) for subject in (self.network, self.program))

    @property
    def shown_samples(self) -> int:
        """How many samples of either kind can be kept for the report in as much memory as runs may take."""
        return MAX_RUN_BYTES.most // (2 * len(self.backends) * max(self.bytes_a_sample, 1))

    def _check_memory(self) -> None:
        """Refuse what takes more memory than the limit allows, before anything runs."""
        steps = counted(self.data.n_steps, "step")
        for name, backend in self.backends.items():
            n = min(self.pace.lava_samples, self.data.n_samples) if backend.is_slow else 1
            subject = self.network if backend.is_reference else self.program
            fewer = " or a smaller --lava-samples" if backend.is_slow else ""
            MAX_RUN_BYTES.check(
                n * recorded_bytes(subject, self.data.n_steps, self._options(name)),
                f"a recording of {counted(n, 'sample')} of {steps} on {name}",
                self.data.source,
                f"Give data of fewer steps{fewer}, or leave {name} out: name the others with --backend.",
            )

    def run_block(self, name: str, part: Data, first: int) -> Recording:
        """Return a backend's recording of a block of samples.

        Args:
            name: the backend's name.
            part: the block's inputs.
            first: the block's first sample among all.
        """
        if self.backends[name].is_slow:
            if name not in self.short:
                n_samples = min(self.pace.lava_samples, self.data.n_samples)
                self.short[name] = self.run(name, self.data.part(0, n_samples))
            return self.short[name].part(first, first + part.n_samples)
        return self.run(name, part, first=first)

    def run(self, name: str, part: Data, *, arithmetic: str | None = None, first: int = 0) -> Recording:
        """Return a backend's recording; with states where a simulator's are to be met.

        Args:
            name: the backend's name.
            part: the samples to run on.
            arithmetic: what an integer backend computes with, or None for what the program says.
            first: the first of these samples among all, for reports of progress.
        """
        backend = self.backends[name]
        options = replace(self._options(name, arithmetic), progress=self._progress(name, part, first))
        return backend.run(self.network if backend.is_reference else self.program, part.x, options)

    def _options(self, name: str, arithmetic: str | None = None) -> RunOptions:
        """Return how a backend runs."""
        backend = self.backends[name]
        has_states = arithmetic is not None or backend.exact_in is not None
        return RunOptions(
            record=("spikes", "v", "u") if has_states else ("spikes",),
            arithmetic=arithmetic,
            time_limit=self.pace.time_limit if backend.can_be_ended else None,
            membranes=self.read,
        )

    def _progress(self, name: str, part: Data, first: int) -> Callable[[int, int], None] | None:
        """Return a function that reports how much is done of all blocks, where somebody listens."""
        if (progress := self.pace.progress) is None:
            return None
        if part.n_samples == self.data.n_samples or self.backends[name].is_slow:
            return lambda done, total: progress(name, done, total)
        share = part.n_samples
        return lambda done, total: progress(name, first + done * share // total, self.data.n_samples)

    def emulator_equals(self, simulator: str, not_run: dict[str, str]) -> dict[str, Any]:
        """Compare the emulator with a vendor's simulator in its arithmetic: spikes and states of every node."""
        for name in (EMULATOR, simulator):
            if name in not_run:
                return {"status": "not-run", "reason": f"{name} did not run: {not_run[name]}"}
        theirs, order = self.short[simulator], self.order
        part = self.data.part(0, theirs.n_samples)
        emulator = self.run(EMULATOR, part, arithmetic=self.backends[simulator].exact_in)
        what = ("spikes", "value", "u", "v")
        different = first_difference(emulator, theirs, order, what)
        held = sum(observed[key].size for observed in theirs.nodes.values() for key in what if key in observed)
        scope = f"spikes, u and v of {len(order)} nodes on {theirs.n_samples} samples ({held:,} values)"
        if custom := [p.name for p in self.program.populations if p.is_custom and not p.helps]:
            scope += f"; {len(custom)} of them are custom neurons, our own on both sides ({', '.join(custom)})"
        if different is None:
            return {"status": "pass", "reason": f"equal in {scope}", "samples": theirs.n_samples}
        return {
            "status": "fail",
            "reason": f"they differ in {scope}",
            "first_difference": different.to_dict(),
            "samples": theirs.n_samples,
        }
