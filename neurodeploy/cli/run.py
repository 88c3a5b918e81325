"""``neurodeploy run``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurodeploy.cli.common import (
    INPUT,
    OUTPUT,
    data_options,
    decide_option,
    dialect_option,
    json_option,
    number_errors,
    open_data,
    print_json,
    progress_bars,
    say,
)
from neurodeploy.cli.completion import complete_backend
from neurodeploy.errors import DeployError, counted

if TYPE_CHECKING:
    from neurodeploy.analysis.calibration_data import Rounding
    from neurodeploy.coding.data import Data, Samples
    from neurodeploy.comparison.answers import Answers
    from neurodeploy.ir.recording import Recording


@click.command()
@click.argument("model", type=INPUT)
@click.option(
    "--backend",
    required=True,
    shell_complete=complete_backend,
    help="Backend to run on: reference (for a .nir); emulator, lava or loihi (for a program; loihi was not run on"
    " hardware).",
)
@click.option(
    "--input", "input_path", type=INPUT, required=True, help="Data .npz: x [T, B, ...], optionally labels y [B]."
)
@dialect_option
@decide_option
@data_options
@click.option(
    "--record", default="spikes", show_default=True, help="Observables to record, separated by commas: spikes, v, u."
)
@click.option("--record-nodes", metavar="NODE,...", help="Record these nodes only.  [default: all]")
@click.option(
    "--arithmetic",
    help="Integer arithmetic: lava (as Intel's simulator) or loihi (as the chip).  [default: the program's]",
)
@click.option(
    "--raw-time",
    is_flag=True,
    help="Keep the hardware's rows: the rows of a layer with latency n are then n rows late.",
)
@click.option("--time-limit", type=float, metavar="SECONDS", help="Seconds after which lava or loihi is ended.")
@click.option("--device", default="cpu", show_default=True, help="Device on which the reference runs: cpu or cuda.")
@json_option
@click.option("-o", "--output", type=OUTPUT, metavar="RUN.npz", help="File for the recording.")
def run(
    model: Path,
    backend: str,
    input_path: Path,
    dialect: str | None,
    decide: str | None,
    encode: str | None,
    batch_first: bool,
    seed: int,
    record: str,
    record_nodes: str | None,
    arithmetic: str | None,
    raw_time: bool,
    time_limit: float | None,
    device: str,
    as_json: bool,
    output: Path | None,
) -> None:
    """Run MODEL on one backend and record its spikes.

    The reference runs a .nir file in float, exactly as the training framework does. The emulator and Lava run a
    program that `neurodeploy compile` made. Row t of a recording is what the trained model gives at row t, on every
    backend.
    """
    from neurodeploy.analysis.calibration_data import Rounding
    from neurodeploy.backends.run import open_subject, run_blocks
    from neurodeploy.comparison.answers import make_answers
    from neurodeploy.files import check_outputs
    from neurodeploy.ir.host import data_inputs, takes_counts
    from neurodeploy.ir.program import Program
    from neurodeploy.ir.run_options import RunOptions

    check_outputs((output,), (model, input_path))
    subject = open_subject(model, dialect)
    data = open_data(input_path, data_inputs(subject), encode, batch_first, seed, model, takes_counts(subject))
    with progress_bars() as bars:
        options = RunOptions(
            record=tuple(key.strip() for key in record.split(",")),
            nodes=tuple(record_nodes.split(",")) if record_nodes else None,
            arithmetic=arithmetic,
            time_limit=time_limit,
            raw_time=raw_time,
            device=device,
            progress=None if bars is None else lambda done, total: bars(backend, done, total),
        )
        rounding = Rounding.of(subject) if isinstance(subject, Program) else Rounding({})
        summary, answers = Summary(backend, rounding), make_answers(subject, data, decide)
        parts = run_blocks(subject, data, backend=backend, options=options, decide=decide)
        unwritten = _record(parts, summary, None if raw_time else answers, data, output)
    for line in getattr(subject, "evidence", ()):
        say(line)
    found = {**summary.result(), **({} if raw_time else _scored(answers, summary.spikes))}
    _tell(found, getattr(subject, "labels", {}), rounding.sentences(), as_json)
    if unwritten is not None:
        raise unwritten
    if output is not None:
        say(f"recording written to {output}")


def _tell(found: dict[str, Any], labels: dict[str, str], warnings: Sequence[str], as_json: bool) -> None:
    """Print the summary of a run, and say what it has to be read with."""
    if as_json:
        print_json(found)
    else:
        _print_summary(found, labels)
    if found.get("custom_neurons"):
        say(f"custom neurons (simulator only): {', '.join(found['custom_neurons'])}")
    for sentence in () if as_json else warnings:
        say(f"warning: {sentence}")


def _record(
    parts: Iterable[tuple[Data, Recording]],
    summary: Summary,
    answers: Answers | None,
    data: Samples,
    output: Path | None,
) -> DeployError | None:
    """Count blocks and write them; return why they could not be written, once all have run."""
    from neurodeploy.comparison.vacuous import THE_RUN
    from neurodeploy.ir.recording import Writer

    try:
        with nullcontext() if output is None else Writer(output) as writer:
            for part, recording in parts:
                summary.add(part, recording)
                if answers is not None:
                    answers.add({THE_RUN: recording}, part)
                if writer is not None:
                    writer.add(replace(recording, meta={**recording.meta, "data": data.source}))
    except DeployError as error:
        if summary.samples < data.n_samples:
            raise
        return error
    return None


def _scored(answers: Answers, spikes: dict[str, int]) -> dict[str, Any]:
    """Return what a run decides and how far its numbers are from the targets, JSON-ready."""
    from neurodeploy.comparison.vacuous import THE_RUN, guessed, undecided, unusual_labels

    nothing = undecided(answers, {THE_RUN: spikes})
    found = answers.result(without=nothing)
    scored = {key: found[key][THE_RUN] for key in ("accuracy", "regression") if THE_RUN in found[key]}
    scored["decision"] = {**found["decision"], "ties": found["decision"]["ties"].get(THE_RUN)}
    candidates = {rule: of_run[THE_RUN] for rule, of_run in found["accuracy_candidates"].items() if of_run}
    vacuous = nothing.get(THE_RUN) or guessed(answers, THE_RUN)
    remark = None if vacuous is not None else unusual_labels(answers)
    more = {"accuracy_candidates": candidates or None, "vacuous": vacuous, "labels": remark}
    return {**scored, **{key: value for key, value in more.items() if value is not None}}


@dataclass(slots=True)
class Summary:
    """The summary of a recording, summed over its blocks."""

    backend: str
    rounding: Rounding
    samples: int = 0
    steps: int = 0
    spikes: dict[str, int] = field(default_factory=dict)
    values: dict[str, tuple[float, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    custom: list[str] = field(default_factory=list)

    def add(self, part: Data, recording: Recording) -> None:
        """Add a block."""
        from neurodeploy.comparison.tallies import OVERFLOWS

        self.rounding.add(part.x)
        self.samples, self.steps = self.samples + recording.n_samples, recording.n_steps
        self.custom = list(recording.meta.get("custom_neurons", ()))
        for name, observed in recording.nodes.items():
            if "spikes" in observed:
                self.spikes[name] = self.spikes.get(name, 0) + int(observed["spikes"].sum())
            if "value" in observed and observed["value"].size:
                low, high = self.values.get(name, (inf, -inf))
                values = recording.values(name)
                self.values[name] = min(low, float(values.min())), max(high, float(values.max()))
        for key in OVERFLOWS:
            if key in recording.counters:
                self.counts[key] = self.counts.get(key, 0) + int(recording.counters[key].sum())

    def result(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        found: dict[str, Any] = {key: getattr(self, key) for key in ("backend", "samples", "steps", "spikes")}
        found |= {"value": self.values} if self.values else {}
        found |= {"custom_neurons": self.custom} if self.custom else {}
        found |= {"warnings": said} if (said := self.rounding.sentences()) else {}
        return found | {key: count for key, count in self.counts.items() if count}


def _print_summary(summary: dict[str, Any], labels: dict[str, str]) -> None:
    from neurodeploy.comparison.tallies import OVERFLOWS

    click.echo(f"{summary['backend']}: {summary['samples']} samples of {summary['steps']} steps")
    for name, count in summary["spikes"].items():
        click.echo(f"  {labels.get(name, name)}: {count} spikes")
    for name, (low, high) in summary.get("value", {}).items():
        click.echo(f"  {labels.get(name, name)}: values of {low:g} to {high:g} V")
    for key, what in OVERFLOWS.items():
        if key in summary:
            click.echo(f"  {what}: {counted(summary[key], 'time')} ({key})")
    _print_scores(summary)


def _print_scores(summary: dict[str, Any]) -> None:
    """Print accuracy with what decides, or the question, and errors of numbers."""
    decision = summary.get("decision", {})
    if "accuracy" in summary:
        click.echo(
            f"  accuracy {100 * summary['accuracy']:.2f} %, decided by {decision['rule']} ({decision['because']});"
            f" ties {100 * decision['ties']:.2f} %"
        )
    if "vacuous" in summary:
        click.echo(f"  not judged: vacuous: {summary['vacuous']}")
    if "labels" in summary:
        click.echo(f"  labels: {summary['labels']}")
    if "accuracy_candidates" in summary:
        click.echo(f"  {decision['question']}")
        for rule, accuracy in summary["accuracy_candidates"].items():
            click.echo(f"    with --decide {rule}: accuracy {100 * accuracy:.2f} %")
    if "regression" in summary:
        by = "" if decision.get("rule") is None else f", by {decision['rule']}"
        click.echo(f"  against y{by}: {number_errors(summary['regression'])}")
    elif decision.get("question") and "accuracy_candidates" not in summary:
        click.echo(f"  {decision['question']}")
