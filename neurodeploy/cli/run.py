"""``neurodeploy run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurodeploy.cli.common import (
    PATH,
    data_options,
    decide_option,
    dialect_option,
    json_option,
    number_errors,
    print_json,
    progress_bars,
    read_data,
    say,
)

if TYPE_CHECKING:
    from neurodeploy.data import Data
    from neurodeploy.network import Network
    from neurodeploy.program import Program
    from neurodeploy.recording import Recording


@click.command()
@click.argument("model", type=PATH)
@click.option(
    "--backend",
    required=True,
    help="reference (for a .nir); emulator, lava or loihi (for a program; loihi is not run on hardware).",
)
@click.option(
    "--input", "input_path", type=PATH, required=True, help="Data .npz: x [T, B, ...], optionally labels y [B]."
)
@dialect_option
@decide_option
@data_options
@click.option("--record", default="spikes", show_default=True, help="What to record, with commas: spikes, v, u.")
@click.option("--record-nodes", metavar="NODE,...", help="Record these nodes only.  [default: all]")
@click.option("--arithmetic", help="lava (as Intel's simulator) or loihi (as the chip).  [default: the program's]")
@click.option("--raw-time", is_flag=True, help="Keep the hardware's rows; a layer at latency n then comes n rows late.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="End lava or loihi after this long.")
@click.option("--device", default="cpu", show_default=True, help="Where the reference runs: cpu, cuda.")
@json_option
@click.option("-o", "--output", type=PATH, metavar="RUN.npz", help="Keep the recording here.")
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
    from neurodeploy.backends.base import RunOptions
    from neurodeploy.files import check_outputs
    from neurodeploy.recording import save_recording
    from neurodeploy.running import open_subject
    from neurodeploy.running import run as run_backend

    check_outputs((output,), (model, input_path))
    subject = open_subject(model, dialect)
    data = read_data(input_path, subject.inputs, encode, batch_first, seed)
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
        recording = run_backend(subject, data.x, backend=backend, options=options, decide=decide)
    for line in getattr(subject, "evidence", ()):
        say(line)
    if output is not None:
        save_recording(replace(recording, meta={**recording.meta, "data": data.source}), output)
    summary = _summary(backend, recording)
    if not raw_time:
        summary.update(_scored(subject, recording, data, decide))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)
    if summary.get("custom_neurons"):
        say(f"custom neurons (simulator only): {', '.join(summary['custom_neurons'])}")
    if output is not None:
        say(f"recorded in {output}")


def _scored(subject: Network | Program, recording: Recording, data: Data, decide: str | None) -> dict[str, Any]:
    """Return what a recording decides and how far its numbers are from the targets, JSON-ready."""
    from neurodeploy.comparison.answers import make_answers

    answers = make_answers(subject, data, decide)
    answers.add({"run": recording}, data)
    found = answers.result()
    keys = ("accuracy", "regression")
    scored = {key: found[key]["run"] for key in keys if "run" in found[key]}
    scored["decision"] = {**found["decision"], "ties": found["decision"]["ties"].get("run")}
    candidates = {rule: of_run["run"] for rule, of_run in found["accuracy_candidates"].items() if of_run}
    return {**scored, **({"accuracy_candidates": candidates} if candidates else {})}


def _summary(backend: str, recording: Recording) -> dict[str, Any]:
    """Return what a recording amounts to, JSON-ready."""
    nodes = recording.nodes
    summary: dict[str, Any] = {
        "backend": backend,
        "samples": recording.n_samples,
        "steps": recording.n_steps,
        "spikes": {name: int(o["spikes"].sum()) for name, o in nodes.items() if "spikes" in o},
    }
    values = {name: _extent(o["value"]) for name, o in nodes.items() if "value" in o and o["value"].size}
    if values:
        summary["value"] = values
    if custom := recording.meta.get("custom_neurons"):
        summary["custom_neurons"] = custom
    for key in ("u_wraps", "v_clips"):
        if key in recording.counters and (total := int(recording.counters[key].sum())):
            summary[key] = total
    return summary


def _print_summary(summary: dict[str, Any]) -> None:
    click.echo(f"{summary['backend']}: {summary['samples']} samples of {summary['steps']} steps")
    for name, count in summary["spikes"].items():
        click.echo(f"  {name}: {count} spikes")
    for name, (low, high) in summary.get("value", {}).items():
        click.echo(f"  {name}: values of {low:g} to {high:g}")
    for key, what in (("u_wraps", "currents left u's register and wrapped"), ("v_clips", "potentials were clipped")):
        if key in summary:
            click.echo(f"  {key}: {summary[key]} {what}")
    _print_scores(summary)


def _print_scores(summary: dict[str, Any]) -> None:
    """Print accuracy with what decides, or the question, and errors of numbers."""
    decision = summary.get("decision", {})
    if "accuracy" in summary:
        click.echo(
            f"  accuracy {100 * summary['accuracy']:.2f} %, decided by {decision['rule']} ({decision['because']});"
            f" ties {100 * decision['ties']:.2f} %"
        )
    if "accuracy_candidates" in summary:
        click.echo(f"  {decision['question']}")
        for rule, accuracy in summary["accuracy_candidates"].items():
            click.echo(f"    with --decide {rule}: accuracy {100 * accuracy:.2f} %")
    if "regression" in summary:
        click.echo(f"  against y: {number_errors(summary['regression'])}")


def _extent(values: Any) -> tuple[float, float]:
    """Return the least and the most of what a node that does not fire gave."""
    return float(values.min()), float(values.max())
