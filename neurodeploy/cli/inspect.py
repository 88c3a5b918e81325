"""``neurodeploy inspect``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurodeploy.cli.common import INPUT, OUTPUT, data_options, dialect_option, json_option, print_json, read_data, say

if TYPE_CHECKING:
    from neurodeploy.inspection.model import Inspection
    from neurodeploy.ir.run_options import Inputs
    from neurodeploy.ir.synapses import Shape


@click.command()
@click.argument("model", type=INPUT)
@dialect_option
@click.option(
    "--input", "input_path", type=INPUT, help="Data .npz, on which silent and saturated populations are found."
)
@data_options
@click.option("--fix", is_flag=True, help="Write a repaired file, which is read without options.")
@click.option("-o", "--output", type=OUTPUT, metavar="FIXED.nir", help="Where --fix writes it.")
@json_option
def inspect(
    model: Path,
    dialect: str | None,
    input_path: Path | None,
    encode: str | None,
    batch_first: bool,
    seed: int,
    fix: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show what a NIR file holds, how it will be read, and what is wrong with it.

    Lists every node with its shape, the range of its parameters and what a neuron keeps of its state in a step; the
    exporter that is recognised, why, and what that exporter drops; the dialect (whose discrete update the network has);
    and all findings, each with node, value and fix. With --fix, the findings are those of the repaired file.

    Exit code 0: clean; 1: warnings, errors or open questions remain; 2: refused.
    """
    from neurodeploy.errors import DeployError
    from neurodeploy.inspection import repair
    from neurodeploy.inspection.model import inspect as inspect_model

    if fix != (output is not None):
        raise DeployError(
            "--fix and -o go together, but only one is given",
            where="--fix",
            fix="Write: neurodeploy inspect MODEL.nir --fix -o FIXED.nir",
        )

    def inputs(shapes: dict[str, Shape]) -> Inputs:
        assert input_path is not None
        data: Inputs = read_data(input_path, shapes, encode, batch_first, seed).x
        return data

    if output is not None:
        repair(model, dialect, output)
        say(f"repaired model written to {output}")
        model, dialect = output, None
    found = inspect_model(model, dialect, None if input_path is None else inputs)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    sys.exit(0 if found.is_clean else 1)


def _print(found: Inspection) -> None:
    click.echo(f"{found.where} (nir {found.version})")
    for node in found.nodes:
        _print_node(node)
    click.echo("edges: " + ", ".join(f"{source} -> {target}" for source, target in found.edges))
    for exporter in found.exporters:
        drops = ", ".join(exporter["drops"]) or "nothing"
        click.echo(f"possible exporter {exporter['name']}, which drops {drops}: {exporter['evidence']}")
    for lost in found.lost if found.dialect is None else ():
        click.echo(f"its exporter drops {lost['key']} ({lost['means']}): {lost['state']}")
    for line in found.evidence:
        click.echo(line)
    if found.decision is not None:
        click.echo(f"a sample: {found.decision}")
    if found.question:
        click.echo(f"the dialect is not fully known: {found.question}")
    _print_findings(found)


def _print_findings(found: Inspection) -> None:
    counts = Counter(finding.severity for finding in found.findings)
    total = ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items())
    click.echo(f"findings: {total or 'none'}")
    for finding in found.findings:
        place = "" if finding.node is None else f" {finding.node}"
        click.echo(f"  {finding.severity} {finding.code}{place}: {finding.what}")
        click.echo(f"      value: {finding.value}")
        click.echo(f"      fix:   {finding.fix}")


def _print_node(node: dict[str, Any]) -> None:
    shape = "" if node["shape"] is None else f" {node['shape']}"
    click.echo(f"  {node['name']}: {node['kind']}{shape}")
    for key, value in node["parameters"].items():
        click.echo(f"      {key} {value['shape']}: {_span(value)}")
    if node["dynamics"]:
        dynamics = dict(node["dynamics"])
        factors = ", ".join(f"{key} {_span(value)}" for key, value in dynamics.items() if key != "dt")
        click.echo(f"      in a step of {dynamics['dt']:g} s: {factors}")
    if node["settings"]:
        click.echo("      read with " + ", ".join(f"{key}={value}" for key, value in node["settings"].items()))
    if node["activity"]:
        counts = node["activity"]
        click.echo(
            f"      {counts['spikes']} spikes, {counts['rate']:.3g} per neuron and step;"
            f" of {counts['neurons']} neurons {counts['silent']} silent, {counts['saturated']} saturated"
        )


def _span(value: dict[str, Any]) -> str:
    low, high = (end if isinstance(end, str) else f"{end:.6g}" for end in (value["low"], value["high"]))
    return low if low == high else f"{low} to {high}"
