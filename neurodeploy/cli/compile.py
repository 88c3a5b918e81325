"""``neurodeploy compile``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from neurodeploy.cli.common import (
    INPUT,
    OUTPUT,
    PATH,
    calibration_data,
    compile_words,
    data_options,
    decide_option,
    dialect_option,
    host_option,
    json_option,
    print_json,
    progress_bars,
    say,
    target_option,
    target_takes_counts,
)
from neurodeploy.cli.streams import as_said, is_stream
from neurodeploy.errors import DeployError


@click.command()
@click.argument("model", type=INPUT)
@target_option()
@click.option(
    "--weight-bits",
    metavar="N",
    help="Bits of each weight: 1 to 8, ternary or binary.  [default: 8, or the most that the chip stores]",
)
@click.option(
    "--calibrate", type=INPUT, metavar="DATA", help="Data for the methods that need it; not the data that is scored."
)
@click.option(
    "--plan", type=INPUT, metavar="PLAN.yaml", help="Plan to compile with; what it leaves out is decided again."
)
@click.option(
    "--scale",
    metavar="METHOD",
    help="How scales are chosen: range, percentile, mse (of the membrane, with --calibrate) or rate. [default: range"
    " from 6 bits, else mse]",
)
@click.option(
    "--rounding",
    default=None,
    metavar="METHOD",
    help="How weights are rounded: nearest or learned. [default: learned if calibrated]",
)
@click.option(
    "--correct",
    default=None,
    metavar="LIST",
    help="What is corrected so that firing rates are met: bias, threshold or both; or none. [default: bias,threshold"
    " if calibrated]",
)
@click.option(
    "--per-channel/--per-population",
    default=None,
    help="Whether each channel has a scale of its own. [default: per channel if calibrated, or if clearly better]",
)
@host_option
@click.option("--approximate", is_flag=True, help="Use the nearest neuron where the chip lacks the model's.")
@click.option(
    "--message-bits",
    type=int,
    default=0,
    metavar="N",
    help="Take graded input of N bits, with the sign. [default: chosen if calibration data is not all 0 and 1]",
)
@click.option(
    "--input-scale",
    type=float,
    default=None,
    metavar="X",
    help="Factor of graded input before it is rounded to whole numbers. [default: chosen on calibration data, else 1]",
)
@click.option("--allow-oversize", is_flag=True, help="Compile a network that fits no single chip, for the emulator.")
@click.option("--allow-silent", is_flag=True, help="Compile a network even if one of its populations never fires.")
@click.option("--search", type=click.Choice(["bits"]), help="Find bits for each projection that keep --budget.")
@click.option(
    "--budget",
    metavar="TEXT",
    help="What the search may lose: accuracy=POINTS or agreement=SHARE[,minimise=memory|energy].",
)
@click.option(
    "--search-method",
    default="sensitivity",
    show_default=True,
    metavar="NAME",
    help="Order of the search: sensitivity or optuna.",
)
@click.option("--search-trials", type=click.IntRange(min=1), default=200, show_default=True, help="Trials of optuna.")
@click.option(
    "--search-state",
    type=PATH,
    metavar="FILE",
    help="File that is written after each trial, and from which a later search goes on.",
)
@click.option(
    "--dump",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write what each stage of compiling leaves: read, fold, approximate, schedule, scale, code, map, check.",
)
@click.option("--search-page", type=OUTPUT, metavar="P.html", help="Write the Pareto front as a page.")
@dialect_option
@decide_option
@data_options
@json_option
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="PROG.npz", help="The program to write.")
@click.option(
    "--plan-output", type=OUTPUT, metavar="PLAN.yaml", help="The plan to write. [default: beside the program]"
)
def compile(
    model: Path,
    target: str,
    calibrate: Path | None,
    plan: Path | None,
    dialect: str | None,
    decide: str | None,
    encode: str | None,
    batch_first: bool,
    seed: int,
    as_json: bool,
    output: Path,
    plan_output: Path | None,
    search: str | None,
    **options: Any,
) -> None:
    """Quantise a NIR model for a chip; write the program that emulator and Lava run, and the plan.

    The plan says what was decided: bits, exponent and rounding of each projection, scale, threshold, leak and bias of
    each population. Edit it and give it back with --plan. Warnings go to standard error.
    """
    from neurodeploy.families.program_file import save_program
    from neurodeploy.files import check_outputs
    from neurodeploy.importers.lower import read_network
    from neurodeploy.ir.plan import save_plan

    # Beside a program that goes to standard output there is no place.
    writes_plan = plan_output is not None or not is_stream(output)
    plan_output = plan_output or output.with_suffix(".plan.yaml")
    writes_plan = writes_plan and (plan is None or plan_output.resolve() != plan.resolve())
    written = (output, options["search_state"], options["search_page"], *([plan_output] if writes_plan else []))
    if calibrate is None:
        _refuse_data_options({"--encode": encode, "--batch-first": batch_first, "--seed": seed})
    check_outputs(written, (model, calibrate, plan))
    inputs = {} if calibrate is None else read_network(model, dialect)[0].inputs
    counts = options.get("host") is not None or target_takes_counts(target)
    data = calibration_data(calibrate, inputs, encode, batch_first, seed, counts)
    searching = {key: options.pop(key) for key in _SEARCHING}
    settled = compile_words(options)
    compiled = _compiled(
        search, searching, seed, model, target, data, {"dialect": dialect, "decide": decide, "plan": plan, **settled}
    )
    save_program(compiled.program, output)
    if writes_plan:
        save_plan(compiled.plan, plan_output)
    _report(compiled, output, plan_output if writes_plan else None, as_json)


def _refuse_data_options(options: dict[str, Any]) -> None:
    """Refuse what says how data is read where there is none."""
    for flag, given in options.items():
        if given:
            raise DeployError(
                f"{flag} says how calibration data is read, but there is none",
                where=flag,
                fix=f"Give data with --calibrate DATA, or leave {flag} out.",
            )


_SEARCHING = ("budget", "search_method", "search_trials", "search_state", "search_page")


def _compiled(
    search: str | None, searching: dict[str, Any], seed: int, model: Path, target: str, data: Any, options: Any
) -> Any:
    """Compile with the options as they are, or with the bits that a search finds."""
    if search is not None:
        return _searched(searching, seed, model, target, data, options)
    from neurodeploy.compiler import compile_with_plan

    for key in ("budget", "search_state", "search_page"):
        if searching[key] is not None:
            flag = f"--{key.replace('_', '-')}"
            raise DeployError(f"{flag} belongs to a search of bits", where=flag, fix="Give --search bits as well.")
    return compile_with_plan(model, target, calibrate=data, **options)


def _searched(searching: dict[str, Any], seed: int, model: Path, target: str, data: Any, options: Any) -> Any:
    """Compile with the bits that a search finds."""
    from neurodeploy.report.pareto import front_lines, write_pareto_page
    from neurodeploy.search.bits import SearchOptions, run_search

    reasons = {"host": "looks at the whole network", "weight_bits": "finds the bits", "dump": "compiles many times"}
    for key, why in reasons.items():
        if options.pop(key) is not None:
            flag = f"--{key.replace('_', '-')}"
            raise DeployError(f"a search of bits {why}", where=flag, fix=f"Leave out --search, or {flag}.")
    if data is None or searching["budget"] is None:
        missing = "--calibrate" if data is None else "--budget"
        raise DeployError(
            "a search needs data and a budget", where=missing, fix="Give --calibrate DATA and --budget; see --help."
        )
    method, trials, state = (searching[f"search_{key}"] for key in ("method", "trials", "state"))
    with progress_bars() as bars:
        asked = SearchOptions(method=method, trials=trials, seed=seed, state=state, progress=bars)
        found = run_search(model, target, data, budget=searching["budget"], search=asked, **options)
    if (page := searching["search_page"]) is not None:
        write_pareto_page(found, page)
    for line in front_lines(found):
        say(line)
    return found.compiled


def _report(compiled: Any, output: Path, plan: Path | None, as_json: bool) -> None:
    from neurodeploy.comparison.warnings import ranked

    program, contract = compiled.program, compiled.contract
    warnings = [*contract.warnings, *program.warnings]
    if as_json:
        print_json(_as_json(compiled, output, plan, warnings))
        return
    for line in program.provenance.get("dialect_evidence", ()):
        say(line)
    for line in (*_population_lines(program), *_projection_lines(program)):
        click.echo(line)
    for name, grid in program.provenance.get("weight_grids", {}).items():
        click.echo(f"{name}: {grid} found and kept exactly")
    click.echo(as_said(output))
    if plan is not None:
        click.echo(as_said(plan))
    for warning in ranked([], warnings, [*program.inputs, *program.nodes], "each run on the emulator counts what does"):
        say(f"warning: {warning}")


def _as_json(compiled: Any, output: Path, plan: Path | None, warnings: list[str]) -> dict[str, Any]:
    program = compiled.program
    return {
        "program": as_said(output),
        "plan": None if plan is None else as_said(plan),
        "target": program.target,
        "latency": program.latency,
        "warnings": warnings,
        "contract": compiled.contract.as_json(),
        "provenance": program.provenance,
    }


def _population_lines(program: Any) -> Iterator[str]:
    for population in program.populations:
        what = f"output is v (1 V = {population.unit:g} register units)"
        if population.fires:
            low, high = int(population.threshold_code.min()), int(population.threshold_code.max())
            what = f"threshold code {low if low == high else f'{low} to {high}'}"
        latency = f"latency {population.latency} step{'' if population.latency == 1 else 's'}"
        yield f"{population.name}: {population.size} neurons, {what}, {latency}"


def _projection_lines(program: Any) -> Iterator[str]:
    for p in program.projections:
        zeros = int((p.weight == 0).sum())
        yield (
            f"{p.name}: {p.weight.size} {p.kind} weights{f', {zeros} of them 0,' if zeros else ''} of {p.weight_bits}"
            f" bits, {p.sign_mode}, codes {p.weight.min(initial=0)} to {p.weight.max(initial=0)}, exponent"
            f" {p.exponent}, {p.delay} step{'' if p.delay == 1 else 's'}"
        )
