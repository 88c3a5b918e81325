"""``neurodeploy targets``, ``backends`` and ``doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neurodeploy.cli.common import json_option, print_json
from neurodeploy.cli.completion import complete_target
from neurodeploy.cli.streams import TargetName

if TYPE_CHECKING:
    from neurodeploy.targets.target import Choice, Flag, Number


@click.command()
@click.argument("name", required=False, type=TargetName(), metavar="[NAME|FILE.toml]", shell_complete=complete_target)
@json_option
def targets(name: str | None, as_json: bool) -> None:
    """List the chips one can compile for, or show one with the source of every fact.

    \b
    A chip of your own is a TOML file, given wherever a target is named; it states what differs from another:
      extends = "loihi2"
      title = "My chip"
      [number_formats]
      delay_max = { value = 6, unit = "step", kind = "tested", source = "our board" }
    """  # noqa: D301
    from neurodeploy.families.target_file import load_target, target_names

    if name is None:
        chips = {target: load_target(target).title for target in target_names()}
        if as_json:
            print_json(chips)
        else:
            for target, title in chips.items():
                click.echo(f"{target}  {title}")
        return
    chip = load_target(name)
    if as_json:
        print_json(chip.model_dump())
        return
    click.echo(f"{chip.name}: {chip.title}, arithmetic {chip.arithmetic}")
    for key, fact in chip.facts():
        click.echo(f"  {key.split('.')[1]}: {_value(fact)} [{fact.kind}] {fact.source}")
    if chip.energy.statement:
        click.echo(f"  energy: {chip.energy.statement}")
    for profile in chip.energy.profiles:
        click.echo(
            f"  energy profile {profile.name}: {profile.synop * 1e12:g} pJ a synaptic operation"
            f" [{profile.kind}] {profile.source}"
        )


def _value(fact: Number | Choice | Flag) -> str:
    """Return what a fact states, with its unit."""
    if isinstance(fact.value, list):
        return ", ".join(fact.value)
    text = str(fact.value).lower()
    return text if fact.unit in ("", "1") else f"{text} {fact.unit}"


@click.command("backends")
@json_option
def list_backends(as_json: bool) -> None:
    """List the backends, and what each that cannot run here needs."""
    from neurodeploy.backends.doctor import backend_states

    states = backend_states()
    if as_json:
        print_json(states)
        return
    for name, reason in states.items():
        click.echo(f"{name}: {_state(name, reason)}")


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine: what is installed, which backends can run, and what the others need."""
    from neurodeploy.backends.doctor import examine

    found = examine()
    if as_json:
        print_json(found)
        return
    click.echo(f"neurodeploy {found['neurodeploy']}, Python {found['python']}, {found['platform']}")
    for name, version in found["packages"].items():
        click.echo(f"  {name}: {version or 'not installed'}")
    click.echo(f"  CUDA device: {found['cuda'] or 'none'}")
    for name, reason in found["backends"].items():
        click.echo(f"  backend {name}: {_state(name, reason)}")


def _state(name: str, reason: str | None) -> str:
    """Return what to say of a backend; of one that no board has tried, also that."""
    from neurodeploy.backends import load

    if reason is not None:
        return f"missing: {reason}"
    note = load(name).note
    return f"ready, but {note}" if note else "ready"
