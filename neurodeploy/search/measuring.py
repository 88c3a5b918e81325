"""Measure widths: one compile and one run of the emulator for each, compared with the float reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from neurodeploy.coding.calibration import Calibration
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import decide
from neurodeploy.compiler import Compiled, compile_network
from neurodeploy.cost.energy import count_events, profile_energy
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families.options import CompileOptions
from neurodeploy.files import to_json
from neurodeploy.ir.decision import Decision, Settled, class_count, membranes, settle_decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Plan, ProjectionPlan, projection_names
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.search.trials import Outcome, StateFile, Trial, Widths
from neurodeploy.targets.target import EnergyProfile, Target
from neurodeploy.version import __version__

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False, slots=True)
class Subject:
    """The subject of a search: a network for a target, how it is compiled, and the data on which it is measured.

    plan: the user's decisions; projections whose bits it states are left alone.
    """

    network: Network
    target: Target
    options: CompileOptions
    plan: Plan
    data: Data

    @property
    def settled(self) -> Settled:
        """What decides a sample, or the question."""
        return settle_decision(self.network, None, class_count(self.data.labels))

    @property
    def names(self) -> tuple[str, ...]:
        """The projections whose widths are searched, as plans name them."""
        planned = self.plan.projections
        return tuple(
            name for name in projection_names(self.network) if planned.get(name, ProjectionPlan()).bits is None
        )

    def with_widths(self, widths: Widths) -> Plan:
        """Return the user's plan with these bits in it."""
        merged = dict(self.plan.projections)
        for name, bits in zip(self.names, widths, strict=True):
            merged[name] = merged.get(name, ProjectionPlan()).model_copy(update={"bits": bits, "learned": None})
        return self.plan.model_copy(update={"projections": merged})

    def compile(
        self, widths: Widths, calibration: Calibration, *, allow_oversize: bool, provenance: dict[str, Any]
    ) -> Compiled:
        """Compile with these bits; a search also measures what is still too large for the chip.

        Args:
            widths: bits by projection. calibration: options of the compiler. allow_oversize: whether it may exceed the
            chip. provenance: of the program.
        """
        options = replace(self.options, allow_oversize=allow_oversize or self.options.allow_oversize)
        return compile_network(self.network, self.target, options, provenance, self.with_widths(widths), calibration)

    def header(self) -> dict[str, str]:
        """Return digests that tell one search from another."""
        data = hashlib.sha256()
        for name, values in sorted(self.data.x.items()):
            data.update(f"{name} {values.dtype} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
        if self.data.labels is not None:
            data.update(b"labels" + self.data.labels.tobytes())
        return {
            "neurodeploy": __version__,
            "network": self.network.digest(),
            "target": f"{self.target.name} {to_json(self.target.formats())}",
            "options": hashlib.sha256(to_json(asdict(self.options)).encode()).hexdigest(),
            "plan": self.plan.digest(),
            "data": data.hexdigest(),
            "decision": str(self.settled.decision),
        }


@dataclass(eq=False, slots=True)
class Measurer:
    """Measures each vector of widths once, and remembers it in a file.

    calibration: the float model on the search data. trials: what was asked for, in order.
    """

    subject: Subject
    calibration: Calibration
    profile: EnergyProfile | None
    state: StateFile
    progress: Callable[[int], None]
    trials: dict[Widths, Outcome] = field(default_factory=dict)
    known: dict[Widths, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = self.state.load()

    @property
    def reference(self) -> Recording:
        """What the float model sends."""
        return self.calibration.recording

    def __call__(self, widths: Widths) -> Trial | None:
        """Return what a program of these widths measures, or None where they are refused."""
        if widths not in self.trials:
            if widths not in self.known:
                self.known[widths] = self._measure(widths)
                self.state.append(widths, self.known[widths])
            self.trials[widths] = self.known[widths]
            self.progress(len(self.trials))
        outcome = self.trials[widths]
        return None if isinstance(outcome, str) else outcome

    def _measure(self, widths: Widths) -> Outcome:
        from neurodeploy.backends.emulator.backend import Emulator

        inputs, labels = self.subject.data.x, self.subject.data.labels
        try:
            program = self.subject.compile(widths, self.calibration, allow_oversize=True, provenance={}).program
        except BackendError:
            raise
        except DeployError as error:
            return error.what
        options = RunOptions(membranes=membranes(self.subject.network))
        recording = Emulator().run(program, inputs, options)
        energy = None
        if self.profile is not None:
            sent = {name: float(values.sum() / values.shape[1]) for name, values in inputs.items()}
            energy = profile_energy(self.profile, count_events(program, recording, sent))
        decision = self.subject.settled.decision
        correct = count_correct(recording, labels, decision)
        best = count_correct(self.reference, labels, decision)
        n = recording.n_samples
        everything = tuple(self.reference.nodes)
        return Trial(
            widths,
            weight_bytes=sum(np.count_nonzero(p.weight) * p.weight_bits / 8 for p in program.projections),
            energy=energy,
            correct=correct,
            samples=n,
            lost_points=None if correct is None or best is None else 100.0 * (best - correct) / n,
            agreement=shared_spikes(self.reference, recording, self.reference.outputs),
            agreement_all=1.0 if (both := shared_spikes(self.reference, recording, everything)) is None else both,
        )


def count_correct(recording: Recording, labels: Any, decision: Decision | None) -> int | None:
    """Return how many samples are decided rightly, or None without labels or where nobody chose what decides.

    Args:
        recording: of the run. labels: int64 (B,), or None. decision: how samples are decided, or None.
    """
    return None if labels is None or decision is None else int((decide(recording, decision) == labels).sum())


def shared_spikes(a: Recording, b: Recording, nodes: tuple[str, ...]) -> float | None:
    """Return the share of some nodes' spikes that two recordings have in common; None where none of them fires.

    Args:
        a, b: recordings of the same samples. nodes: whose spikes are compared.
    """
    shared = either = 0
    fires = False
    for node in nodes:
        if "spikes" in a.nodes.get(node, {}) and "spikes" in b.nodes.get(node, {}):
            one, two = a.spikes(node), b.spikes(node)
            fires = True
            shared += int(np.count_nonzero((one == two) & (one != 0)))
            either += int(np.count_nonzero((one != 0) | (two != 0)))
    if not fires:
        return None
    return shared / either if either else 1.0


def reported(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Return a function that reports how many trials of at most ``total`` are done."""

    def report(done: int) -> None:
        if progress is not None:
            progress("search", min(done, total), total)

    return report
