"""``neurodeploy compile``."""

from __future__ import annotations

from pathlib import Path

import click

from neurodeploy.cli.common import PATH, dialect_option, json_option, print_json, say


@click.command()
@click.argument("model", type=PATH)
@click.option("--target", required=True, help="Chip to compile for; `neurodeploy targets` lists them.")
@click.option("--weight-bits", default=8, show_default=True, help="Bits of each weight.")
@click.option("--message-bits", type=int, default=0, metavar="N", help="Take graded input of N bits, with the sign.")
@click.option(
    "--input-scale", default=1.0, show_default=True, help="Graded input times this is rounded to whole numbers."
)
@click.option("--allow-oversize", is_flag=True, help="Compile what fits no single chip, for the emulator.")
@dialect_option
@json_option
@click.option("-o", "--output", type=PATH, required=True, metavar="PROG.npz", help="The program to write.")
def compile(
    model: Path,
    target: str,
    weight_bits: int,
    message_bits: int,
    input_scale: float,
    allow_oversize: bool,
    dialect: str | None,
    as_json: bool,
    output: Path,
) -> None:
    """Quantise a NIR model for a chip and write the program that emulator and Lava run.

    Scales come from the weights alone. What the program says about itself (scales, latencies, what can overflow, what
    could not be matched) is printed; warnings go to standard error.
    """
    from neurodeploy.compiler import compile as compile_model
    from neurodeploy.files import check_outputs
    from neurodeploy.program import save_program

    check_outputs((output,), (model,))
    program = compile_model(
        model,
        target,
        dialect=dialect,
        weight_bits=weight_bits,
        message_bits=message_bits,
        input_scale=input_scale,
        allow_oversize=allow_oversize,
    )
    save_program(program, output)
    if as_json:
        print_json(
            {
                "program": str(output),
                "target": program.target,
                "latency": program.latency,
                "warnings": list(program.warnings),
                "provenance": program.provenance,
            }
        )
        return
    for line in program.provenance["dialect_evidence"]:
        say(line)
    for population in program.populations:
        low, high = int(population.threshold_code.min()), int(population.threshold_code.max())
        codes = f"threshold code {low if low == high else f'{low} to {high}'}"
        what = codes if population.model.fires else f"v is read, {population.unit:g} units a volt"
        click.echo(f"{population.name}: {population.size} neurons, {what}, rows come {population.latency} steps late")
    for p in program.projections:
        click.echo(
            f"{p.name}: {p.weight.size} {p.kind} weights of {p.weight_bits} bits, {p.sign_mode}, codes"
            f" {p.weight.min(initial=0)} to"
            f" {p.weight.max(initial=0)}, exponent {p.exponent}, {p.delay} step{'s' if p.delay > 1 else ''}"
        )
    click.echo(str(output))
    for warning in program.warnings:
        say(f"warning: {warning}")
