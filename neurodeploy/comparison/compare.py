"""Run a model on several backends and hold them against each other: what the report shows and a CI job gates on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy import backends
from neurodeploy.backends.base import RunOptions, check_inputs, is_binary, spike_inputs
from neurodeploy.calibrate import other_data_sentences
from neurodeploy.comparison.answers import Answers, make_answers
from neurodeploy.comparison.equality import Equality
from neurodeploy.comparison.measures import first_difference
from neurodeploy.comparison.shown import Shown
from neurodeploy.comparison.tallies import Agreements, Events
from neurodeploy.compiler import compile_with_plan
from neurodeploy.cost.energy import estimate_energy, mean_events
from neurodeploy.data import Data, Samples, blocks
from neurodeploy.decision import MEMBRANE, Decision, find_readout, membranes
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.settle import Dialect
from neurodeploy.network import Network
from neurodeploy.program import Program
from neurodeploy.recording import Recorded, Recording
from neurodeploy.running import recorded_bytes
from neurodeploy.target import load_target
from neurodeploy.version import __version__

FORMAT, VERSION = "neurodeploy-comparison", 1
LAVA_SAMPLES = 32
TOLERANCE_POINTS = 1.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Backends held against each other on the same model and data.

    network, program, data: what ran. recordings: by backend; ``trained`` is the framework's own, where given. Of data
        that ran in several blocks they hold the samples in ``shown`` only.
    result: the comparison file's content (DESIGN section 4), JSON-ready.
    answers: what each backend decides on all samples. shown: samples that the recordings hold, from 0.
    differs: bool (B,), in which samples any two backends have different spikes.
    """

    network: Network
    program: Program
    data: Samples
    recordings: dict[str, Recording]
    result: dict[str, Any]
    answers: Answers
    shown: tuple[int, ...]
    differs: NDArray[np.bool_]

    @property
    def passed(self) -> bool:
        """Whether nothing is outside the tolerance."""
        return bool(self.result["verdict"]["status"] == "pass")


def compare(
    model: Path | str | Any,
    target: str,
    data: Samples,
    *,
    dialect: str | None = None,
    program: Program | None = None,
    only: tuple[str, ...] = (),
    trained: Recorded | None = None,
    lava_samples: int = LAVA_SAMPLES,
    tolerance: float = TOLERANCE_POINTS,
    time_limit: float | None = None,
    progress: Progress | None = None,
    decide: Decision | str | None = None,
    **compiling: Any,
) -> Comparison:
    """Run a model on backends and compare them.

    Args:
        model: path of a ``.nir`` file or an in-memory ``nir.NIRGraph``.
        target: name of the chip.
        data: inputs and, for accuracy, labels.
        dialect: as given to ``--dialect``.
        program: the compiled model; compiled here if None.
        only: backends to run; all that can run here if empty.
        trained: the framework's own recording on the same data.
        lava_samples: Lava, and a Loihi board, run on this many samples from the first on.
        tolerance: points of accuracy that a backend may lose against the reference.
        time_limit: seconds for a backend, or None.
        progress: called with (backend, done, in all).
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        **compiling: options of :func:`neurodeploy.compiler.compile_with_plan`, for compiling here.

    Raises:
        DeployError: the model, the data or an option is refused.
        BackendError: a backend that was named is missing, or one died.
    """
    check_tolerance(tolerance)
    network, settled, graph = read_network(model, dialect)
    check_inputs(network.inputs, data.part(0, 1).x)
    answers = make_answers(network, data, decide)
    lost: tuple[str, ...] = ()
    if program is None:
        if compiling.get("calibrate") is None:
            compiling["input_range"] = _graded_ranges(data)
        compiled = compile_with_plan(model, target, dialect=dialect, decide=decide, **compiling)
        program, lost = compiled.program, compiled.said
    else:
        _check_program(program, network, target)
    names, not_run = _choose(only)
    read = membranes(network, answers.settled.decision, *answers.settled.candidates)
    for node in read:
        find_readout(program, node + MEMBRANE)
    runner = _Runner(network, program, data, lava_samples, time_limit, progress, read)
    run = _run_blocks(runner, names, _checked_trained(trained, data), answers)
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "target": target,
        "samples": run.events.samples,
        "steps": data.n_steps,
        "nodes": list(runner.order),
        "not_run": not_run,
        "equalities": {
            "reference_trained": run.reference_trained(trained),
            "emulator_lava": runner.emulator_lava(not_run),
        },
        **answers.result(),
        **run.agreements.result(),
        "counters": run.events.result(),
        "energy": _energy(program, run.events, data.n_steps, target),
        "ladder": None,
        "warnings": [*lost, *program.warnings, *run.silences(), *run.other_data(program, data)],
        "provenance": _provenance(model, runner, (settled, graph), run.shown.recordings()),
    }
    result["verdict"] = _verdict(result, tolerance)
    shown = run.shown
    return Comparison(network, program, data, shown.recordings(), result, answers, shown.samples, shown.differs)


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """What was counted of all blocks."""

    answers: Answers
    agreements: Agreements
    events: Events
    equality: Equality
    shown: Shown

    def reference_trained(self, trained: Recorded | None) -> dict[str, Any]:
        """Return the first equality, or why it could not be judged."""
        if self.equality.samples:
            return self.equality.result()
        reason = "trained output not given" if trained is None else "the reference did not run"
        return {"status": "not-run", "reason": reason}

    def named(self) -> set[int]:
        """Return the samples that first differences point at so far."""
        found = [one[1] for one in self.agreements.first.values() if one is not None]
        return {different.sample for different in (*found, self.equality.broken) if different is not None}

    def silences(self) -> list[str]:
        """Return which outputs that decide never fire, so that what they decide means nothing."""
        chosen = self.answers.settled.decision
        node = None if chosen is None else chosen.output
        return [
            f"output {node} never fires on {name}: every sample is decided as class 0; where the model's answer is its"
            f" potential, say --decide max,output={node}.v, or sum or last"
            for name, counts in self.events.spikes.items()
            if node in counts and not counts[node]
        ]

    def other_data(self, program: Program, data: Samples) -> list[str]:
        """Return which inputs are far from the data that the program was calibrated on."""
        if not self.events.nodes:
            return []
        values = data.n_steps * data.n_samples
        rates = {
            name: self.events.sent[name] / (values * prod(shape))
            for name, shape in program.inputs.items()
            if name not in program.message_bits
        }
        return other_data_sentences(program.provenance.get("calibration_rates", {}), rates)


def _run_blocks(runner: _Runner, names: tuple[str, ...], trained: Recorded | None, answers: Answers) -> _Run:
    """Run all blocks of samples on all backends, and count."""
    found = _Run(
        answers,
        Agreements(runner.order, runner.read),
        Events(runner.order),
        Equality(runner.network, runner.read),
        Shown(runner.order, runner.data.n_samples),
    )
    for first, part in blocks(runner.data, runner.bytes_a_sample):
        block = {name: runner.run_block(name, part, first) for name in names}
        if trained is not None:
            block["trained"] = trained.part(first, first + part.n_samples)
            if "reference" in block:
                found.equality.add(part.x, block["reference"], block["trained"])
        answers.add(block, part)
        found.agreements.add(block, first)
        found.events.add(block, spike_inputs(runner.program, part.x) if "emulator" in block else part.x)
        found.shown.add(block, first, found.named())
    return found


def _graded_ranges(data: Samples) -> dict[str, tuple[float, float]]:
    """Return the least and the most of each input that holds other values than 0 and 1; nothing else is calibrated."""
    found: dict[str, tuple[float, float]] = {}
    graded: set[str] = set()
    for _, part in blocks(data, 4 * sum(values.nbytes for values in data.part(0, 1).x.values())):
        for name, values in part.x.items():
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(values.min())), max(high, float(values.max()))
            graded |= set() if is_binary(values) else {name}
    return {name: found[name] for name in graded}


def _checked_trained(trained: Recorded | None, data: Samples) -> Recorded | None:
    """Refuse a recording that is not the framework's, or of other data."""
    if trained is None:
        return None
    if trained.meta.get("backend") in backends.names():
        raise DeployError(
            f"this is a recording of our own backend {trained.meta['backend']!r}, not of the training framework",
            where="--trained",
            fix="Record the framework itself: neurodeploy export ... --input DATA --record-output TRAINED.npz",
        )
    if trained.n_samples != data.n_samples:
        raise DeployError(
            f"the trained recording has {trained.n_samples} samples, the data {data.n_samples}",
            where="--trained",
            fix="Record the framework on the same data.",
        )
    return trained


def _provenance(
    model: Path | str | Any, runner: _Runner, read: tuple[Dialect, NirGraph], recordings: dict[str, Recording]
) -> dict[str, Any]:
    """Return what was compared, of which versions, and how the model was read."""
    settled, graph = read
    return {
        "neurodeploy": __version__,
        "model": _model_name(model),
        "model_sha256": graph.sha256,
        "data": runner.data.source,
        "dialect": settled.name,
        "dialect_evidence": list(settled.evidence),
        "dt_s": runner.network.dt,
        "target": load_target(runner.program.target).title,
        "program": runner.program.provenance,
        "backends": {name: recording.meta.get("versions", {}) for name, recording in recordings.items()},
    }


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is no share of a hundred.

    Raises:
        DeployError: it is below 0, above 100, or no number.
    """
    if not 0 <= tolerance <= 100:
        raise DeployError(f"a tolerance of {tolerance:g}", where="--tolerance", fix="Give a number from 0 to 100.")


def _check_program(program: Program, network: Network, target: str) -> None:
    if program.target != target:
        raise DeployError(
            f"the program was compiled for {program.target}", where="--program", fix=f"Say --target {program.target}."
        )
    if program.provenance.get("network_sha256") != network.digest():
        raise DeployError(
            "the program was compiled from another model, or in another dialect",
            where="--program",
            fix="Compile this model again, with the same --dialect.",
        )


def _model_name(model: Path | str | Any) -> str | None:
    """Return what to call a model: its file, with its folder where the file's own name says nothing."""
    if not isinstance(model, (str, Path)):
        return None
    path = Path(model).resolve()
    return f"{path.parent.name}/{path.name}" if path.stem == "model" else path.name


def _choose(only: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the backends to run, and why each of the others does not."""
    missing = {name: backends.load(name).missing() for name in only or backends.names()}
    for name in only:
        if (reason := missing[name]) is not None:
            raise BackendError(f"backend {name!r} cannot run here", where="--backend", fix=reason)
    not_run = {name: reason for name, reason in missing.items() if reason is not None}
    not_run.update({name: "not asked for" for name in backends.names() if only and name not in only})
    return tuple(name for name, reason in missing.items() if reason is None), not_run


class _Runner:
    """Runs backends on the same data; Lava and a Loihi board on the first samples only."""

    def __init__(
        self,
        network: Network,
        program: Program,
        data: Samples,
        lava_samples: int,
        time_limit: float | None,
        progress: Progress | None,
        read: tuple[str, ...] = (),
    ) -> None:
        if lava_samples < 1:
            raise DeployError(f"Lava on {lava_samples} samples", where="--lava-samples", fix="Give 1 or more.")
        self.network, self.program, self.data = network, program, data
        self.lava_samples, self.time_limit, self.progress = lava_samples, time_limit, progress
        self.read, self.order = read, tuple(population.name for population in network.populations)
        self.short: dict[str, Recording] = {}

    @property
    def bytes_a_sample(self) -> int:
        """What one sample takes while it runs."""
        options = RunOptions(membranes=self.read)
        return max(recorded_bytes(subject, self.data, options) for subject in (self.network, self.program))

    def run_block(self, name: str, part: Data, first: int) -> Recording:
        """Return a backend's recording of a block of samples."""
        # A board runs sample by sample, each compiled anew: as slow as Lava, and shared with others.
        if name in ("lava", "loihi"):
            if name not in self.short:
                self.short[name] = self.run(name, self.data.part(0, min(self.lava_samples, self.data.n_samples)))
            return self.short[name].part(first, first + part.n_samples)
        return self.run(name, part, first=first)

    def run(self, name: str, part: Data, *, arithmetic: str | None = None, first: int = 0) -> Recording:
        """Return a backend's recording; with states where Lava's are to be met."""
        in_lava = name == "lava" or arithmetic == "lava"
        options = RunOptions(
            record=("spikes", "v", "u") if in_lava else ("spikes",),
            arithmetic=arithmetic,
            time_limit=self.time_limit,
            progress=self._progress(name, part, first),
            membranes=self.read,
        )
        subject = self.network if name == "reference" else self.program
        return backends.load(name).run(subject, part.x, options)

    def _progress(self, name: str, part: Data, first: int) -> Callable[[int, int], None] | None:
        """Return a function that reports how much is done of all blocks, where somebody listens."""
        if (progress := self.progress) is None:
            return None
        if part.n_samples == self.data.n_samples or name in ("lava", "loihi"):
            return lambda done, total: progress(name, done, total)
        share = part.n_samples
        return lambda done, total: progress(name, first + done * share // total, self.data.n_samples)

    def emulator_lava(self, not_run: dict[str, str]) -> dict[str, Any]:
        """Hold emulator and Lava against each other in Lava's arithmetic: spikes and states of every node."""
        for name in ("emulator", "lava"):
            if name in not_run:
                return {"status": "not-run", "reason": f"{name} did not run: {not_run[name]}"}
        lava, order = self.short["lava"], self.order
        emulator = self.run("emulator", self.data.part(0, lava.n_samples), arithmetic="lava")
        what = ("spikes", "value", "u", "v")
        different = first_difference(emulator, lava, order, what)
        held = sum(observed[key].size for observed in lava.nodes.values() for key in what if key in observed)
        scope = f"spikes, u and v of {len(order)} nodes on {lava.n_samples} samples ({held:,} values)"
        if custom := [p.name for p in self.program.populations if p.process == "custom" and not p.helps]:
            scope += f"; {len(custom)} of them are custom neurons, our own on both sides ({', '.join(custom)})"
        if different is None:
            return {"status": "pass", "reason": f"equal in {scope}", "samples": lava.n_samples}
        return {
            "status": "fail",
            "reason": f"they differ in {scope}",
            "first_difference": different.to_dict(),
            "samples": lava.n_samples,
        }


def _energy(program: Program, events: Events, n_steps: int, target: str) -> dict[str, Any] | None:
    if "emulator" not in events.samples:
        return None
    sent = {name: total / events.samples["emulator"] for name, total in events.sent.items()}
    counts = mean_events(program, events.nodes, events.per_sample, n_steps, sent)
    estimate = estimate_energy(load_target(target), counts)
    if program.host is not None:
        names = ", ".join(population.name for population in program.host.populations)
        estimate["scope"] += f"; without the host, which runs {names}"
    return estimate


def _verdict(result: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Return pass or fail, with each reason for a failure; what was not run is said, and fails nothing."""
    reasons = [
        f"{name.replace('_', ' == ')}: {equality['reason']}"
        for name, equality in result["equalities"].items()
        if equality["status"] == "fail"
    ]
    detail = result["accuracy_detail"]
    losses = {}
    for name in ("emulator", "loihi"):
        if name in detail and "reference" in detail and detail[name]["samples"] == detail["reference"]["samples"]:
            losses[name] = 100.0 * (result["accuracy"]["reference"] - result["accuracy"][name])
            if losses[name] > tolerance + 1e-9:
                reasons.append(f"{name} loses {losses[name]:.2f} points of accuracy, {tolerance:g} are tolerated")
    open_questions = [
        f"{name.replace('_', ' == ')}: {equality['reason']}"
        for name, equality in result["equalities"].items()
        if equality["status"] == "not-run"
    ]
    if not losses:
        why = "no chip backend and reference on the same samples" if detail else "the data has no labels"
        if (question := result["decision"]["question"]) is not None:
            why = question
        open_questions.append(f"accuracy loss: {why}")
    return {
        "status": "fail" if reasons else "pass",
        "reasons": reasons,
        "not_run": open_questions,
        "accuracy_loss_points": losses,
        "tolerance_points": tolerance,
        "smallest_tolerance_points": max([0.0, *losses.values()]),
    }
