"""Run a model on several backends and compare them: what the report shows and a CI job gates on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from neurodeploy import backends
from neurodeploy.analysis.calibration_data import Rounding, other_data_sentences
from neurodeploy.backends import EMULATOR, REFERENCE
from neurodeploy.backends.base import spike_inputs
from neurodeploy.coding.data import Samples, blocks
from neurodeploy.coding.data_hash import data_sha256
from neurodeploy.coding.given import Given, given_samples
from neurodeploy.coding.inputs import check_inputs, is_binary
from neurodeploy.comparison.answers import Answers, make_answers
from neurodeploy.comparison.equality import Equality, check_trained
from neurodeploy.comparison.runner import LAVA_SAMPLES, Pace, Progress, Runner, choose_backends
from neurodeploy.comparison.shown import KEPT, Shown
from neurodeploy.comparison.tallies import Agreements, Events
from neurodeploy.comparison.vacuous import undecided, unusual_labels
from neurodeploy.comparison.verdict import TOLERANCE_POINTS, VALUE_TOLERANCE, Demands, Evidence, happened, judge
from neurodeploy.comparison.warnings import ranked
from neurodeploy.compiler import compile_with_plan
from neurodeploy.compiler.keywords import Compiling, shows
from neurodeploy.cost.energy import estimate_energy, mean_events
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import program_sha256
from neurodeploy.families.target_file import load_target
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.settle import Dialect
from neurodeploy.ir.decision import MEMBRANE, Decision, find_readout, membranes, readouts
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Plan
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recorded, Recording, RecordingFile, recorded_on
from neurodeploy.notebook import Summarised, Summary
from neurodeploy.targets.target import Target
from neurodeploy.version import __version__

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
    required = require.split(",") if isinstance(require, str) else require
    demands = Demands(tolerance, value_tolerance, tuple(word.strip() for word in required))
    chip = load_target(target)
    chosen, not_run = choose_backends((only,) if isinstance(only, str) and only else tuple(only))
    if isinstance(trained, (str, Path)):
        trained = RecordingFile(Path(trained))
    if program is not None:
        _refuse_options({"plan": plan, "calibrate": calibrate, **compiling})
    pace = Pace(lava_samples, time_limit, progress)
    network, settled, graph = read_network(model, dialect)
    data = given_samples(data, network.inputs)
    check_inputs(network.inputs, data.part(0, 1).x)
    sha256 = data_sha256(data)
    remarks = [] if trained is None else _check_trained(trained, data, network, sha256, graph.sha256)
    answers = make_answers(network, data, decide)
    lost: tuple[str, ...] = ()
    if program is None:
        if calibrate is None and compiling.get("input_range") is None:
            compiling["input_range"] = _graded_ranges(data)
        compiled = compile_with_plan(
            model, chip, dialect=dialect, decide=decide, plan=plan, calibrate=calibrate, **compiling
        )
        program, lost = compiled.program, compiled.said
    else:
        _check_program(program, network, chip)
    read = membranes(network, answers.settled.decision, *answers.settled.candidates)
    for node in read:
        find_readout(program, node + MEMBRANE)
    runner = Runner(network, program, data, chosen, pace, read)
    run = _run_blocks(runner, trained, answers)
    nothing = run.undecided()
    equalities = {
        "reference_trained": run.reference_trained(trained),
        **{f"{EMULATOR}_{name}": runner.emulator_equals(name, not_run) for name in backends.simulators()},
    }
    evidence = run.evidence(runner, equalities)
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "target": chip.name,
        "samples": run.events.samples,
        "steps": data.n_steps,
        "nodes": list(runner.order),
        "not_run": not_run,
        "equalities": equalities,
        **answers.result(without=nothing),
        "vacuous": nothing,
        **run.agreements.result(),
        "counters": run.events.result(),
        "energy": _energy(program, run.events, data.n_steps, chip),
        "ladder": None,
        "warnings": ranked(
            [*happened(evidence), *run.remarks(), *run.other_data(program, data), *remarks, *lost],
            program.warnings,
            [*program.inputs, *program.nodes],
            "this run counted what did" if EMULATOR in runner.backends else "nothing was counted in this run",
        ),
        "provenance": _provenance(model, chip, runner, (settled, graph), run.shown.recordings(), sha256),
    }
    result["verdict"] = judge(evidence, demands)
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
    rounding: Rounding

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
        proved = [name for name in backends.simulators() if equalities[f"{EMULATOR}_{name}"]["status"] != "not-run"]
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


def _run_blocks(runner: Runner, trained: Recorded | None, answers: Answers) -> _Run:
    """Run all blocks of samples on all backends, and count."""
    program = runner.program
    counting = tuple(name for name, one in runner.backends.items() if one.counts)
    found = _Run(
        answers,
        Agreements(runner.order, runner.read),
        Events(runner.order, counting),
        Equality(runner.network, runner.read),
        Shown(runner.order, runner.data.n_samples, min(KEPT, max(1, runner.shown_samples))),
        Rounding.of(program),
    )
    for first, part in blocks(runner.data, runner.bytes_a_sample):
        block = {name: runner.run_block(name, part, first) for name in runner.backends}
        if trained is not None:
            block["trained"] = trained.part(first, first + part.n_samples)
            if REFERENCE in block:
                found.equality.add(part.x, block[REFERENCE], block["trained"])
        answers.add(block, part)
        found.rounding.add(part.x)
        found.agreements.add(block, first)
        found.events.add(block, spike_inputs(program, part.x) if EMULATOR in block else part.x)
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


def _check_trained(trained: Recorded, data: Samples, network: Network, sha256: str, of_model: str) -> list[str]:
    """Refuse a recording that is not the framework's, or of other data; return what is to be said of it."""
    if trained.meta.get("backend") in backends.names():
        raise DeployError(
            f"this is a recording of neurodeploy's backend {trained.meta['backend']!r}, not of the training framework",
            where="--trained",
            fix="Record the framework itself: neurodeploy export ... --input DATA --record-output TRAINED.npz",
        )
    if trained.n_samples != data.n_samples:
        raise DeployError(
            f"the trained recording has {trained.n_samples} samples, but the data has {data.n_samples}",
            where="--trained",
            fix="Record the framework on the same data.",
        )
    check_trained(network, trained.part(0, 1), data.n_steps, 1)
    remarks = [recorded_on(trained, sha256, "the trained recording", "--trained")]
    if of_model and trained.meta.get("model_sha256", of_model) not in ("", of_model):
        remarks.append("the trained recording was made with another model file, which may be why it differs")
    return [remark for remark in remarks if remark is not None]


def _provenance(
    model: Path | str | Any,
    chip: Target,
    runner: Runner,
    read: tuple[Dialect, NirGraph],
    recordings: dict[str, Recording],
    sha256: str,
) -> dict[str, Any]:
    """Return what was compared, of which versions, and how the model was read."""
    settled, graph = read
    return {
        "neurodeploy": __version__,
        "model": _model_name(model),
        "model_sha256": graph.sha256,
        "data": runner.data.source,
        "data_sha256": sha256,
        "program_sha256": program_sha256(runner.program),
        "dialect": settled.name,
        "dialect_evidence": list(settled.evidence),
        "dt_s": runner.network.dt,
        "target": chip.title,
        "program": runner.program.provenance,
        "backends": {name: recording.meta.get("versions", {}) for name, recording in recordings.items()},
    }


def _refuse_options(given: Mapping[str, object]) -> None:
    """Refuse what says how a model is compiled, beside a program."""
    for name, value in given.items():
        if value is not None and name != "allow_silent":
            raise DeployError(
                "a program is compiled already",
                where=f"--{name.replace('_', '-')}",
                fix="Leave it out, or leave out --program.",
            )


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


def _model_name(model: Path | str | Any) -> str | None:
    """Return what to call a model: its file, with its folder where the file's own name says nothing."""
    if not isinstance(model, (str, Path)):
        return None
    path = Path(model).resolve()
    return f"{path.parent.name}/{path.name}" if path.stem == "model" else path.name


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
