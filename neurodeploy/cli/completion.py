"""``neurodeploy completion``, and completion of the names of targets, backends and dialects."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_NEURODEPLOY_COMPLETE"
"""By which a shell asks the command for completions; click's name for it."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes verbs, options, targets, backends and dialects.

    \b
    bash, in ~/.bashrc:                eval "$(neurodeploy completion bash)"
    zsh, in ~/.zshrc after compinit:   eval "$(neurodeploy completion zsh)"
    fish, once:   neurodeploy completion fish > ~/.config/fish/completions/neurodeploy.fish
    """  # noqa: D301
    from neurodeploy.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    asked = kind(cli, {}, "neurodeploy", VARIABLE)
    click.echo(asked.source_template % asked.source_vars())


def complete_target(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the targets that begin so, or let the shell complete a file.

    Args:
        _context, _option: of click. incomplete: what is typed so far.
    """
    from neurodeploy.families.target_file import target_names

    return _beginning(target_names(), incomplete) or [CompletionItem(incomplete, type="file")]


def complete_backend(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the backends that begin so, those of other packages included.

    Args:
        _context, _option: of click. incomplete: what is typed so far.
    """
    from neurodeploy.backends import names

    return _beginning(names(), incomplete)


def complete_dialect(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the dialects that begin so, or behind a comma the keys: ``snntorch,reset=``.

    Args:
        _context, _option: of click. incomplete: what is typed so far.
    """
    from neurodeploy.importers.dialects import DIALECTS, KEYS

    said, comma, last = incomplete.rpartition(",")
    node, colon, key = last.rpartition(":")
    if not comma:
        return _beginning(DIALECTS, incomplete)
    return _beginning((f"{said},{node}{colon}{name}=" for name in KEYS), incomplete) if "=" not in key else []


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
