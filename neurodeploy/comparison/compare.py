"""Run a model on several backends and compare them: what the report shows and a CI job gates on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from neurodeploy import backends
from neurodeploy.analysis.calibration_data import Rounding, other_data_sentences
from neurodeploy.backends import EMULATOR, REFERENCE
from neurodeploy.backends.host import spike_inputs
from neurodeploy.coding.data import Data, Samples, blocks
from neurodeploy.coding.given import Given
from neurodeploy.comparison.answers import Answers, make_answers
from neurodeploy.comparison.equality import Equality
from neurodeploy.comparison.question import Question, ask
from neurodeploy.comparison.runner import LAVA_SAMPLES, Pace, Progress, Runner
from neurodeploy.comparison.shown import KEPT, Shown
from neurodeploy.comparison.tallies import Agreements, Block, Events
from neurodeploy.comparison.vacuous import undecided, unusual_labels
from neurodeploy.comparison.verdict import TOLERANCE_POINTS, VALUE_TOLERANCE, Evidence, demand, happened, judge
from neurodeploy.comparison.warnings import ranked
from neurodeploy.compiler import compile_with_plan
from neurodeploy.compiler.keywords import Compiling, shows
from neurodeploy.cost.energy import estimate_energy, mean_events
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families import find_family
from neurodeploy.families.program_file import program_sha256
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.decision import MEMBRANE, Decision, find_readout, membranes, readouts
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Plan
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recorded, Recording
from neurodeploy.ir.run_options import Inputs
from neurodeploy.notebook import Summarised, Summary
from neurodeploy.targets.target import Target

FORMAT, VERSION = "neurodeploy-comparison", 1


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Comparison(Summarised):
    """Backends compared with each other on the same model and data.

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

    def summary(self) -> Summary:
        """Return what a terminal or a notebook shows of it."""
        verdict = self.result["verdict"]
        accuracy = ", ".join(f"{name} {100 * share:.2f} %" for name, share in self.result["accuracy"].items())
        rows = tuple(
            (name, "not judged" if not gate["judged"] else "passed" if gate["passed"] else "failed", gate["reason"])
            for name, gate in verdict["gates"].items()
        )
        line = f"verdict {verdict['status']} on {self.result['target']}{f', accuracy {accuracy}' if accuracy else ''}"
        return Summary(line, ("gate", "", "reason"), rows)

    @property
    def passed(self) -> bool:
        """Whether nothing is outside the tolerance."""
        return bool(self.result["verdict"]["status"] == "pass")


@shows(Compiling)
def compare(
    model: Path | str | Any,
    target: str | Path | Target,
    data: Given,
    *,
    dialect: str | None = None,
    program: Program | None = None,
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
) -> Comparison:
    """Run a model on backends and compare them.

    Args:
        model: path of a ``.nir`` file or an in-memory ``nir.NIRGraph``.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        data: inputs and, for accuracy, labels: a file, samples, or arrays ``[T, B, *shape]``.
        dialect: as given to ``--dialect``.
        program: the compiled model; compiled here if None.
        only: backends to run, or the name of one; all that can run here if empty.
        trained: the framework's own recording on the same data, or the path of its file.
        lava_samples: slow backends (Lava, a Loihi board) run on this many samples from the first on.
        tolerance: points of accuracy that a chip may lose against the reference; without labels, per cent of the
            decisions that may be others.
        value_tolerance: root mean square error that a value which is read may have, in per cent of the reference's
            standard deviation.
        require: gates that fail where they cannot be judged: ``trained``, ``lava``, ``accuracy``, ``decisions``,
            ``values``; or a text of them with commas.
        time_limit: seconds for a backend, or None.
        progress: called with (backend, done, in all).
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        plan, calibrate: as :func:`neurodeploy.compile` takes them, for compiling here.
        **compiling: how the model is compiled here; see below.

    Raises:
        DeployError: the model, the data or an option is refused.
        BackendError: a backend that was named is missing, or one died.
    """
    question = ask(
        model,
        data,
        dialect=dialect,
        program=program,
        only=only,
        trained=trained,
        demands=demand(tolerance, value_tolerance, require),
        pace=Pace(lava_samples, time_limit, progress),
        decide=decide,
        compiling={"plan": plan, "calibrate": calibrate, **compiling},
    )
    chip = load_target(target)
    question.refuse_unsuited([chip])
    case = put(question, chip)
    for refusal in run_cases(question, [case]).values():
        raise refusal
    return case.comparison()


def put(question: Question, chip: Target, pace: Pace | None = None, chips: int = 1) -> Case:
    """Put a question to a chip: compile the model for it, or check the program, and make ready what runs.

    Args:
        question: what is asked.
        chip: of whom.
        pace: how backends run, where not as the question says.
        chips: how many are asked, which share the memory that keeps samples for the report.

    Raises:
        DeployError: the chip cannot run the network.
    """
    network = question.network
    running, not_run = question.on(chip)
    lost: tuple[str, ...] = ()
    if (program := question.program) is None:
        compiled = compile_with_plan(question.model, chip, **question.compiling)
        program, lost = compiled.program, compiled.said
    else:
        _check_program(program, network, chip)
    answers = make_answers(network, question.data, question.decide)
    read = membranes(network, answers.settled.decision, *answers.settled.candidates)
    for node in read:
        find_readout(program, node + MEMBRANE)
    runner = Runner(network, program, question.data, running, pace or question.pace, read)
    return Case(question, chip, runner, not_run, lost, _Run.of(runner, answers, runner.shown_samples // chips))


def run_cases(question: Question, cases: Sequence[Case]) -> dict[str, DeployError]:
    """Run all blocks of samples on all backends, and count; the reference runs once for all chips.

    Returns:
        By chip why it refuses the data; such a case is not to be read.
    """
    refused: dict[str, DeployError] = {}
    for first, part in blocks(question.data, max(case.runner.bytes_a_sample for case in cases)):
        trained = None if question.trained is None else question.trained.part(first, first + part.n_samples)
        references = cases[0].references(part, first)
        for case in cases:
            if case.chip.name in refused:
                continue
            try:
                case.add(part, first, references, trained)
            except BackendError:
                raise
            except DeployError as error:
                refused[case.chip.name] = error
    return refused


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """A question as it is put to one chip.

    not_run: why a backend does not run, by name. lost: what compiling is known to lose. run: what is counted.
    """

    question: Question
    chip: Target
    runner: Runner
    not_run: dict[str, str]
    lost: tuple[str, ...]
    run: _Run

    def references(self, part: Data, first: int) -> dict[str, Recording]:
        """Return a block as the model itself gives it, which is the same whatever the chip."""
        return {
            name: self.runner.run_block(name, part, first)
            for name, backend in self.runner.backends.items()
            if backend.is_reference
        }

    def add(self, part: Data, first: int, references: dict[str, Recording], trained: Recording | None) -> None:
        """Run a block on all other backends, and count.

        Args:
            part: the block's inputs.
            first: the block's first sample among all.
            references: the block's recordings by the backends that run the model itself, see :meth:`references`.
            trained: the framework's recording of the same samples, or None.
        """
        block = {
            name: references[name] if name in references else self.runner.run_block(name, part, first)
            for name in self.runner.backends
        }
        if trained is not None:
            block["trained"] = trained
        self.run.add(block, part, first, spike_inputs(self.runner.program, part.x) if EMULATOR in block else part.x)

    def comparison(self) -> Comparison:
        """Return what was found, once all blocks have run."""
        question, runner, shown = self.question, self.runner, self.run.shown
        equalities = {"reference_trained": self.run.reference_trained(question.trained)}
        for name in backends.simulators(self.chip.family):
            equalities[f"{EMULATOR}_{name}"] = runner.emulator_equals(name, self.not_run)
        result = self._result(self.run.evidence(runner, equalities))
        recordings, answers = shown.recordings(), self.run.answers
        return Comparison(
            question.network, runner.program, question.data, recordings, result, answers, shown.samples, shown.differs
        )

    def _result(self, evidence: Evidence) -> dict[str, Any]:
        """Return the comparison file's content."""
        question, runner, run, program = self.question, self.runner, self.run, self.runner.program
        nothing, n_steps = run.undecided(), question.data.n_steps
        return {
            "format": FORMAT,
            "version": VERSION,
            "target": self.chip.name,
            "samples": run.events.samples,
            "steps": n_steps,
            "nodes": list(runner.order),
            "not_run": self.not_run,
            "equalities": evidence.equalities,
            **run.answers.result(without=nothing),
            "vacuous": nothing,
            **run.agreements.result(),
            "fit": [use.to_dict() for use in find_family(program.family).uses(program, self.chip)],
            "counters": run.events.result(),
            "energy": _energy(program, run.events, n_steps, self.chip),
            "ladder": None,
            "warnings": self._warnings(evidence),
            "provenance": self._provenance(),
            "verdict": judge(evidence, question.demands),
        }

    def _warnings(self, evidence: Evidence) -> list[str]:
        question, program, run = self.question, self.runner.program, self.run
        seen = [*happened(evidence), *run.remarks(), *run.other_data(program, question.data)]
        return ranked(
            [*seen, *question.remarks, *self.lost],
            program.warnings,
            [*program.inputs, *program.nodes],
            "this run counted what did" if EMULATOR in self.runner.backends else "nothing was counted in this run",
        )

    def _provenance(self) -> dict[str, Any]:
        """Return what was compared, of which versions, and how the model was read."""
        recordings = self.run.shown.recordings()
        return {
            **self.question.provenance(),
            "program_sha256": program_sha256(self.runner.program),
            "target": self.chip.title,
            "program": self.runner.program.provenance,
            "backends": {name: recording.meta.get("versions", {}) for name, recording in recordings.items()},
        }


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """What was counted of all blocks."""

    answers: Answers
    agreements: Agreements
    events: Events
    equality: Equality
    shown: Shown
    rounding: Rounding

    @classmethod
    def of(cls, runner: Runner, answers: Answers, shown_samples: int) -> _Run:
        """Return the count of nothing yet; so many samples of either kind may be kept for the report."""
        counting = tuple(name for name, one in runner.backends.items() if one.counts)
        return cls(
            answers,
            Agreements(runner.order, runner.read),
            Events(runner.order, counting),
            Equality(runner.network, runner.read),
            Shown(runner.order, runner.data.n_samples, min(KEPT, max(1, shown_samples))),
            Rounding.of(runner.program),
        )

    def add(self, block: Block, part: Data, first: int, sent: Inputs) -> None:
        """Count a block; ``sent`` is what enters the chip."""
        if "trained" in block and REFERENCE in block:
            self.equality.add(part.x, block[REFERENCE], block["trained"])
        self.answers.add(block, part)
        self.rounding.add(part.x)
        self.agreements.add(block, first)
        self.events.add(block, sent)
        self.shown.add(block, first, self.named())

    def reference_trained(self, trained: Recorded | None) -> dict[str, Any]:
        """Return the first equality, or why it could not be judged."""
        if self.equality.samples:
            return self.equality.result()
        reason = "no trained recording is given" if trained is None else "the reference did not run"
        return {"status": "not-run", "reason": reason}

    def named(self) -> set[int]:
        """Return the samples that first differences point at so far."""
        found = [one[1] for one in self.agreements.first.values() if one is not None]
        return {different.sample for different in (*found, self.equality.broken) if different is not None}

    def evidence(self, runner: Runner, equalities: dict[str, Any]) -> Evidence:
        """Return what the verdict is found from; a simulator that was compared with the emulator is judged by that."""
        family = runner.program.family
        simulators = backends.simulators(family)
        proved = [name for name in simulators if equalities[f"{EMULATOR}_{name}"]["status"] != "not-run"]
        chips = tuple(name for name, one in runner.backends.items() if one.is_chip and name not in proved)
        outputs = tuple(one.name for one in readouts(runner.network))
        ran = tuple(runner.backends)
        return Evidence(equalities, self.answers, self.agreements, self.events, ran, chips, outputs)

    def remarks(self) -> list[str]:
        """Return what is to be said of the data."""
        said = unusual_labels(self.answers)
        return [] if said is None else [said]

    def undecided(self) -> dict[str, str]:
        """Return by backend why what it decides is no decision."""
        return undecided(self.answers, self.events.spikes)

    def other_data(self, program: Program, data: Samples) -> list[str]:
        """Return which inputs are far from the data that the program was calibrated on."""
        lost = self.rounding.sentences()
        if not self.events.nodes:
            return lost
        values = data.n_steps * data.n_samples
        rates = {
            name: self.events.sent[name] / (values * prod(shape))
            for name, shape in program.inputs.items()
            if name not in program.message_bits
        }
        return [*other_data_sentences(program.provenance.get("calibration_rates", {}), rates), *lost]


def _check_program(program: Program, network: Network, chip: Target) -> None:
    if program.target != chip.name:
        raise DeployError(
            f"the program was compiled for {program.target}, not for {chip.name}",
            where="--program",
            fix=f"Give --target {program.target}, or the file of that target.",
        )
    formats = chip.formats()
    if differing := {key: value for key, value in program.number_formats.items() if formats.get(key) != value}:
        had = ", ".join(f"{key} {value} (now {formats.get(key)})" for key, value in sorted(differing.items()))
        raise DeployError(
            f"the program was compiled for a {chip.name} with other number formats: {had}",
            where="--program",
            fix="Compile the model again for this target.",
        )
    if program.provenance.get("network_sha256") != network.digest():
        raise DeployError(
            "the program was compiled from another model, or with another dialect",
            where="--program",
            fix="Compile this model again, with the same --dialect.",
        )


def _energy(program: Program, events: Events, n_steps: int, chip: Target) -> dict[str, Any] | None:
    if EMULATOR not in events.samples:
        return None
    sent = {name: total / events.samples[EMULATOR] for name, total in events.sent.items()}
    counts = mean_events(program, events.nodes, events.per_sample, n_steps, sent)
    estimate = estimate_energy(chip, counts)
    if program.host is not None:
        names = ", ".join(population.name for population in program.host.populations)
        estimate["scope"] += f"; without the host, which runs {names}"
    return estimate
