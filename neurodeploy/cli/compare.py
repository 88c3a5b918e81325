"""``neurodeploy compare`` and ``neurodeploy diff``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from neurodeploy.cli.common import (
    INPUT,
    OUTPUT,
    calibration_data,
    compile_words,
    data_options,
    decide_option,
    dialect_option,
    host_option,
    json_option,
    number_errors,
    open_data,
    print_json,
    progress_bars,
    say,
    split_words,
    target_option,
    target_takes_counts,
)
from neurodeploy.cli.completion import complete_backend
from neurodeploy.errors import DeployError
from neurodeploy.files import check_outputs, write_together


@click.command()
@click.argument("model", type=INPUT)
@target_option(several=True)
@click.option(
    "--input", "input_path", type=INPUT, required=True, help="Data .npz: x [T, B, ...], optionally labels y [B]."
)
@click.option("--program", "program_path", type=INPUT, help="Use this program instead of compiling here.")
@click.option("--weight-bits", help="1 to 8, ternary or binary, when compiling here.  [default: as compile]")
@click.option("--calibrate", type=INPUT, metavar="DATA", help="Calibration data, when compiling here; not --input.")
@click.option("--plan", type=INPUT, metavar="PLAN.yaml", help="Plan to compile with, when compiling here.")
@host_option
@click.option(
    "--backend",
    "only",
    multiple=True,
    shell_complete=complete_backend,
    help="Run this backend; repeat for several.  [default: all that can run here]",
)
@click.option(
    "--trained", "trained_path", type=INPUT, help="The framework's own recording, from `export --record-output`."
)
@click.option(
    "--lava-samples", default=32, show_default=True, help="Number of samples that Lava runs, from the first on."
)
@click.option(
    "--tolerance",
    default=1.0,
    show_default=True,
    help="Points of accuracy that the chip may lose; without labels, per cent of decisions that it may change.",
)
@click.option(
    "--value-tolerance",
    default=10.0,
    show_default=True,
    help="Largest error (root mean square) of values that are read, in per cent of the reference's standard deviation.",
)
@click.option(
    "--require",
    "require",
    metavar="GATE,...",
    multiple=True,
    help="Fail if one of these gates cannot be judged: trained, lava, accuracy, decisions, values.",
)
@click.option("--time-limit", type=float, metavar="SECONDS", help="Seconds after which a backend is ended.")
@dialect_option
@decide_option
@data_options
@json_option
@click.option("--report", type=OUTPUT, metavar="R.html", help="Write the report: one page that opens offline.")
@click.option("-o", "--output", type=OUTPUT, metavar="R.json", help="Write the comparison as JSON.")
def compare(
    model: Path,
    targets: tuple[str, ...],
    input_path: Path,
    program_path: Path | None,
    weight_bits: str | None,
    calibrate: Path | None,
    plan: Path | None,
    host: int | str | None,
    only: tuple[str, ...],
    trained_path: Path | None,
    lava_samples: int,
    tolerance: float,
    value_tolerance: float,
    require: tuple[str, ...],
    time_limit: float | None,
    dialect: str | None,
    decide: str | None,
    encode: str | None,
    batch_first: bool,
    seed: int,
    as_json: bool,
    report: Path | None,
    output: Path | None,
) -> None:
    """Run a model on all backends and say where they differ, what is lost, and what it would cost.

    Two equalities are checked first: the reference fires the same spikes as the training framework (needs --trained),
    and the emulator equals Intel's Lava bit for bit (needs Lava: `neurodeploy install lava`). Then the loss is judged:
    accuracy within --tolerance, or without labels the decisions that change, or the error of values.

    With several --target, all chips are given the same data and stand side by side in one report; a chip that refuses
    the network is a column with its reasons.

    Exit code 1 if one of them fails, if no loss could be judged, or if a pass would mean nothing, for instance because
    the output never fires. What could not be run is listed and fails nothing, unless it is named in --require. Of
    several chips the worst decides: 1 if any of them gives 1 or refuses the network, 2 if all refuse it.
    """
    from neurodeploy.coding.data_hash import shared_samples
    from neurodeploy.comparison.compare import compare as compare_backends
    from neurodeploy.comparison.side_by_side import compare_targets
    from neurodeploy.families.program_file import load_program
    from neurodeploy.importers.lower import read_network
    from neurodeploy.ir.host import takes_counts
    from neurodeploy.ir.recording import RecordingFile

    if calibrate is not None and calibrate.resolve() == input_path.resolve():
        raise DeployError(
            "--calibrate and --input are the same data, and data that is scored must not be used for calibration",
            where="--calibrate",
            fix="Give other data for calibration, for instance training data.",
        )
    check_report(report)
    if program_path is not None and len(targets) > 1:
        raise DeployError(
            f"a program is compiled for one chip, but {len(targets)} are given",
            where="--program",
            fix="Give one --target, or leave out --program: the model is then compiled for each chip.",
        )
    check_outputs((report, output), (model, input_path, program_path, trained_path, calibrate, plan))
    network, _, _ = read_network(model, dialect)
    program = None if program_path is None else load_program(program_path)
    counts = host is not None or all(map(target_takes_counts, targets)) if program is None else takes_counts(program)
    who = "the chip" if len(targets) == 1 else "one of the chips"
    data = open_data(input_path, network.inputs, encode, batch_first, seed, model, counts, who)
    calibration = calibration_data(calibrate, network.inputs, encode, batch_first, seed, counts)
    if calibration is not None and (shared := shared_samples(calibration, data)):
        raise DeployError(
            f"{shared} of the samples that are scored are also calibration data",
            where="--calibrate",
            fix="Give other data for calibration, for instance training data.",
        )
    with progress_bars() as bars:
        asked: dict[str, Any] = {
            "dialect": dialect,
            "only": only,
            "trained": None if trained_path is None else RecordingFile(trained_path),
            "lava_samples": lava_samples,
            "tolerance": tolerance,
            "value_tolerance": value_tolerance,
            "require": split_words(require),
            "time_limit": time_limit,
            "progress": bars,
            "decide": decide,
            "plan": plan,
            "host": host,
            "calibrate": calibration,
            # Compare shows what is silent; it does not keep anybody from looking.
            "allow_silent": True,
            **compile_words({"weight_bits": weight_bits}),
        }
        if len(targets) > 1:
            comparison: Any = compare_targets(model, targets, data, **asked)
        else:
            comparison = compare_backends(model, targets[0], data, program=program, **asked)
    for line in network.evidence:
        say(line)
    tell_and_write(comparison, report, output, as_json)
    if len(targets) > 1 and (refusal := comparison.refusal()) is not None:
        raise refusal
    sys.exit(0 if comparison.passed else 1)


def check_report(path: Path | None) -> None:
    """Refuse a report that cannot be written as a page, before any work is done.

    Raises:
        DeployError: its name is not that of an HTML page.
    """
    if path is None:
        return
    if path.suffix.lower() not in ("", ".html", ".htm"):
        raise DeployError(
            f"the report is an HTML page, but its name ends in {path.suffix}",
            where="--report",
            fix=f"Name it {path.with_suffix('.html')}, or use -o R.json for a file for machines.",
        )


def tell_and_write(comparison: Any, report: Path | None, output: Path | None, as_json: bool = False) -> None:
    """Print a comparison, then write report and JSON, both or none.

    Where standard output takes no more, the files are written all the same, and the verdict goes to standard error.

    Args:
        comparison: of one chip, or of several side by side.
        report: the HTML file to write, or None.
        output: the JSON file to write, or None.
        as_json: print the JSON content in place of the summary.
    """
    lost = None
    try:
        if as_json:
            print_json(comparison.result)
        elif "targets" in comparison.result:
            from neurodeploy.cli.side_by_side import print_chips

            print_chips(comparison)
        else:
            print_summary(comparison.result)
    except OSError as error:
        lost = error
    try:
        write_results(comparison, report, output)
    finally:
        if lost is not None or sys.stdout is None:
            say(verdict_line(comparison.result["verdict"]))
    if lost is not None:
        raise lost


def write_results(comparison: Any, report: Path | None, output: Path | None) -> None:
    """Write report and JSON, each where it is asked for; both or none.

    Args:
        comparison: of one chip, or of several side by side.
        report: the HTML file, or None.
        output: the JSON file, or None.
    """
    from neurodeploy.report.html import render_report
    from neurodeploy.report.json_file import render_comparison

    texts = {}
    if output is not None:
        texts[output] = render_comparison(comparison)
    if report is not None:
        texts[report] = render_report(comparison)
    write_together({path: _writer(text) for path, text in texts.items()})
    for path in texts:
        say(f"{'report' if path == report else 'comparison'} written to {path}")


def _writer(text: str) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        stream.write(text.encode())

    return write


def print_summary(result: dict[str, Any]) -> None:
    """Print what a person wants to know first."""
    for name, equality in result["equalities"].items():
        if equality["status"] != "not-run":
            click.echo(f"{name.replace('_', ' == ')}: {equality['status']} ({equality['reason']})")
    print_decision(result)
    _print_accuracies(result)
    for backend, shares in result["agreement"].items():
        pair = [result["counters"]["spikes"][name] for name in (backend, result["agreement_with"])]
        silent = [node for node in shares if not any(counts.get(node) for counts in pair)]
        listed = ", ".join(f"{node} {_share(share, node in silent)}" for node, share in shares.items())
        click.echo(f"spikes that {backend} shares with {result['agreement_with']}: {listed}")
    for backend, nodes in result["values"].items():
        for node, found in nodes.items():
            click.echo(f"{node} on {backend} against {result['agreement_with']}: {number_errors(found)}")
    for name, reason in result["not_run"].items():
        click.echo(f"not run: {name} ({reason})")
    _print_fit(result)
    _print_costs(result)
    for warning in result["warnings"]:
        if warning not in result["verdict"]["reasons"]:
            click.echo(f"warning: {warning}")
    print_verdict(result["verdict"])


def _print_fit(result: dict[str, Any]) -> None:
    """Print how much of each limit of the chip is taken."""
    taken = []
    for use in result["fit"]:
        least = "at least " if use["is_least"] else ""
        taken.append(f"{use['limit']} {least}{use['used']:,} of {use['available']:,}")
    click.echo(f"fit: {'; '.join(taken)}")


def _print_costs(result: dict[str, Any]) -> None:
    """Print how many synaptic operations a sample takes, and what they would cost."""
    from neurodeploy.report.formats import si

    events = result["counters"]["emulator"]
    if synops := sum(events.get("synops", {}).values()):
        dense = sum(events.get("synops_dense", {}).values())
        stored = f"; {dense:,.0f} if weights of 0 were stored as well" if "synops_dense" in events else ""
        click.echo(f"synaptic operations: {synops:,.0f} per sample{stored}")
    if (energy := result["energy"]) is not None:
        if energy["statement"]:
            click.echo(f"energy: {energy['statement']}")
        for one in energy.get("measured", ()):
            click.echo(f"measured elsewhere: {one['what']}: {si(one['value'], one['unit'])} ({one['source']})")
        if energy["profiles"]:
            click.echo(
                f"energy under {energy['figures_of']}'s published profiles: {energy['low_j'] * 1e6:.2g} to"
                f" {energy['high_j'] * 1e6:.2g} uJ per sample ({energy['scope']})"
            )


def print_verdict(verdict: dict[str, Any]) -> None:
    """Print what was not judged, and the verdict with its reasons, a line each."""
    for sentence in verdict.get("not_run", ()):
        click.echo(f"not judged: {sentence}")
    click.echo(verdict_line(verdict))
    for reason in verdict["reasons"][1:]:
        click.echo(f"  {reason}")


def verdict_line(verdict: dict[str, Any]) -> str:
    """Return the status with the first reason."""
    return ": ".join([f"verdict: {verdict['status']}", *verdict["reasons"][:1]])


def _print_accuracies(result: dict[str, Any]) -> None:
    """Print what each backend decides rightly, and how far its numbers are from their targets."""
    for name, accuracy in result["accuracy"].items():
        detail = result["accuracy_detail"][name]
        low, high = detail["interval_95"]
        click.echo(
            f"accuracy {name}: {100 * accuracy:.2f} % of {detail['samples']} (95 %: {100 * low:.1f} to"
            f" {100 * high:.1f}){_test(detail.get('mcnemar'))}"
        )
    for name, sentence in result["vacuous"].items():
        if f"vacuous: {sentence}" in result["verdict"]["reasons"]:
            continue
        click.echo(f"no decision on {name}: {sentence}")
    for name, found in result["regression"].items():
        click.echo(f"against y, {name}: {number_errors(found)}")


def print_decision(result: dict[str, Any]) -> None:
    """Print what decides a sample, or the question, with what each answer to it would give."""
    said = result["decision"]
    if said["question"] is not None:
        click.echo(said["question"])
        for rule, found in result["accuracy_candidates"].items():
            if found:
                listed = ", ".join(f"{name} {100 * accuracy:.2f} %" for name, accuracy in found.items())
                click.echo(f"  with --decide {rule}: {listed}")
    elif result["accuracy"]:
        ties = ", ".join(f"{name} {100 * share:.2f} %" for name, share in said["ties"].items())
        click.echo(f"decided by {said['rule']} ({said['because']}); ties: {ties}")


def _share(share: float, is_silent: bool) -> str:
    """Return a share of spikes; of none there is none."""
    return "none" if is_silent else f"{100 * share:.2f} %"


def _test(mcnemar: dict[str, Any] | None) -> str:
    """Return what McNemar's test says, or nothing where no sample changed sides."""
    if mcnemar is None or not mcnemar["lost"] + mcnemar["gained"]:
        return ""
    return f"; {mcnemar['lost']} lost and {mcnemar['gained']} gained, McNemar p = {mcnemar['p']:.2g}"


@click.command()
@click.argument("run_a", type=INPUT)
@click.argument("run_b", type=INPUT)
@click.option(
    "--tolerance",
    default=0.0,
    show_default=True,
    help="Per cent of a node's spikes that the recordings need not share.",
)
@json_option
def diff(run_a: Path, run_b: Path, tolerance: float, as_json: bool) -> None:
    """Compare two recordings, node by node, and name the first difference.

    Exit code 1 if a node that both recorded shares fewer spikes than the tolerance allows, or if nothing could be
    judged; without a tolerance, also if potentials or currents differ that both have in the same unit.
    """
    from neurodeploy.comparison.measures import diff as diff_recordings
    from neurodeploy.comparison.verdict import check_tolerance
    from neurodeploy.ir.recording import load_recording

    check_tolerance(tolerance)
    a, b = load_recording(run_a), load_recording(run_b)
    try:
        result = diff_recordings(a, b, (str(run_a), str(run_b)))
    except ValueError as error:
        raise DeployError(
            str(error),
            where=f"{run_a}, {run_b}",
            fix="Record the same nodes on the same data, and use --raw-time for both or for neither.",
        ) from error
    for remark in result["remarks"]:
        say(remark)
    outside = any(100.0 * (1.0 - share) > tolerance for share in result["agreement"].values())
    outside = outside or (tolerance == 0 and result["first_difference"] is not None)
    unproved = result["not_judged"] is not None and result["first_difference"] is None
    if as_json:
        print_json(result)
    else:
        for node, share in result["agreement"].items():
            click.echo(f"{node}: {_share(share, node in result['silent'])} of spikes shared")
        for node, found in result["values"].items():
            click.echo(f"{node}: {number_errors(found)}")
        for run, nodes in ((run_a, result["only_a"]), (run_b, result["only_b"])):
            if nodes:
                click.echo(f"{', '.join(nodes)}: recorded only in {run}, so not compared")
        if result["apart"]:
            click.echo(
                f"{', '.join(result['apart'])}: not in the same unit in both recordings (volts, or register units"
                " of one scale), so not compared"
            )
        click.echo(_outcome(result))
    sys.exit(1 if outside or unproved else 0)


def _outcome(result: dict[str, Any]) -> str:
    """Return what a diff found: the first difference, or whether that there is none says something."""
    if (first := result["first_difference"]) is not None:
        return "first difference: " + ", ".join(f"{key} {value}" for key, value in first.items())
    if result["not_judged"] is not None:
        return f"not judged: {result['not_judged']}"
    is_partial = any(result[key] for key in ("only_a", "only_b", "apart"))
    return "equal in all that was compared" if is_partial else "equal"
