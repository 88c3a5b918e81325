"""Several chips on the terminal: each as a comparison of its own prints it, then a table of all."""

from __future__ import annotations

import click

from neurodeploy.cli.compare import print_summary, print_verdict
from neurodeploy.cli.streams import as_said
from neurodeploy.comparison.side_by_side import SideBySide
from neurodeploy.report.side_by_side import groups

_PLAIN = str.maketrans({"\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "\N{MICRO SIGN}": "u"})
"""What a terminal of few characters shows for what the page has."""


def print_chips(side: SideBySide) -> None:
    """Print what a person wants to know of each chip, a table of all, and the verdict."""
    for name, chip in side.targets.items():
        click.echo(f"{name} ({chip.title}):")
        if name in side.refusals:
            click.echo(f"refused: {as_said(side.refusals[name].on_command_line())}")
        else:
            print_summary(side.comparisons[name].result)
        click.echo()
    for line in table_lines(side):
        click.echo(line)
    click.echo()
    print_verdict(side.result["verdict"])


def table_lines(side: SideBySide) -> list[str]:
    """Return the table of chips as lines of text."""
    rows: list[list[str]] = [["", *side.targets]]
    for group in groups(side):
        rows.append([group.title.lower()])
        rows += [[f"  {row.title}", *(cell.text for cell in row.cells)] for row in group.rows]
    columns = len(side.targets) + 1
    widths = [max(len(row[place]) for row in rows if len(row) == columns) for place in range(columns)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip().translate(_PLAIN)
        for row in rows
    ]
