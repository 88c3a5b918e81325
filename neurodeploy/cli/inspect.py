"""``neurodeploy inspect``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from neurodeploy.cli.common import PATH, dialect_option, json_option, print_json


@click.command()
@click.argument("model", type=PATH)
@dialect_option
@json_option
def inspect(model: Path, dialect: str | None, as_json: bool) -> None:
    """Show what a NIR file holds, and how it will be read.

    Lists every node with its shape and the range of its parameters, the dialect (whose discrete update the network
    has) with the evidence for it, and what the file does not say. Exit code 1 if something has to be said with
    --dialect first.
    """
    from neurodeploy.inspection import inspect as inspect_model

    found = inspect_model(model, dialect)
    if as_json:
        print_json(found.to_dict())
    else:
        click.echo(f"{found.where} (nir {found.version})")
        for node in found.nodes:
            _print_node(node)
        click.echo("edges: " + ", ".join(f"{source} -> {target}" for source, target in found.edges))
        for line in found.evidence:
            click.echo(line)
        if found.question:
            click.echo(f"dialect unknown: {found.question}")
    sys.exit(1 if found.question else 0)


def _print_node(node: dict[str, Any]) -> None:
    shape = "" if node["shape"] is None else f" {node['shape']}"
    click.echo(f"  {node['name']}: {node['kind']}{shape}")
    for key, value in node["parameters"].items():
        span = f"{value['low']:.6g}" if value["low"] == value["high"] else f"{value['low']:.6g} to {value['high']:.6g}"
        click.echo(f"      {key} {value['shape']}: {span}")
    if node["settings"]:
        click.echo("      read with " + ", ".join(f"{key}={value}" for key, value in node["settings"].items()))
