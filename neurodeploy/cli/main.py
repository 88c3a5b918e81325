"""The command ``neurodeploy``: verbs are found by name and imported only when they are used."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from neurodeploy.cli.streams import OutputError, as_said, output_errors, silence_output
from neurodeploy.errors import DeployError
from neurodeploy.version import __version__


class Verb(NamedTuple):
    """Where a verb lives, and its line in the help."""

    module: str
    name: str
    help: str


VERBS = {
    "export": Verb("export", "export", "Write a trained network to NIR, with its time step and reset rule."),
    "inspect": Verb("inspect", "inspect", "Show how a model will be read and what is wrong with it; repair it."),
    "compile": Verb("compile", "compile", "Quantise a model for a chip."),
    "finetune": Verb("finetune", "finetune", "Train a model further in the chip's own integers."),
    "run": Verb("run", "run", "Run a model or a program on one backend."),
    "compare": Verb("compare", "compare", "Run backends side by side; report where they differ and what it costs."),
    "diff": Verb("compare", "diff", "Compare two recordings, spike for spike."),
    "targets": Verb("about", "targets", "List chips, or show one with the source of each fact."),
    "backends": Verb("about", "list_backends", "List backends, and what each that is missing needs."),
    "doctor": Verb("about", "doctor", "Check this machine: packages, backends, devices."),
    "install": Verb("install", "install", "Install a backend that lives apart (Lava)."),
    "completion": Verb("completion", "completion", "Print the script that completes commands in bash, zsh or fish."),
    "demo": Verb("demo", "demo", "Compile and compare the models that come with neurodeploy."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported only when they run; their help lines are known without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb's command.

        Raises:
            DeployError: there is none of that name.
        """
        verb = VERBS.get(cmd_name)
        if verb is None:
            close = get_close_matches(cmd_name, VERBS, 1)
            raise DeployError(
                f"there is no verb {cmd_name!r}",
                where="the command line",
                fix=f"Did you mean `neurodeploy {close[0]}`?" if close else f"The verbs are {', '.join(VERBS)}.",
            )
        command: click.Command = getattr(import_module(f"neurodeploy.cli.{verb.module}"), verb.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a verb with its arguments.

        Raises:
            DeployError: there is none of that name, or an option that holds one value is given twice.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            _refuse_repeats(command, rest)
        return name, command, rest

    # click ends with 1 where nobody reads on; both ways to print are told apart before it learns of it.
    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the arguments; ``--help`` prints here."""
        with output_errors():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        with output_errors():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


def _refuse_repeats(command: click.Command, arguments: list[str]) -> None:
    """Refuse an option that is given twice, of which click would take the last and drop the others."""
    with suppress(click.UsageError):  # of which click tells when it reads them
        given = command.make_parser(click.Context(command)).parse_args(list(arguments))[2]
        for option in given:
            if isinstance(option, click.Option) and _holds_one(option) and given.count(option) > 1:
                flag = option.opts[-1]
                raise DeployError(f"{flag} is given twice", where=flag, fix="Give it once.")


def _holds_one(option: click.Option) -> bool:
    """Tell whether an option has one value of several, so that it cannot be given twice and mean the same."""
    return not option.multiple and (not option.is_flag or bool(option.secondary_opts))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="neurodeploy")
@click.option("--debug", is_flag=True, help="Show the traceback of a refusal, and log each step.")
def cli(debug: bool) -> None:
    """Put a trained spiking network on a neuromorphic chip, and trust the number on the report.

    \b
    The usual way:
      neurodeploy export net.py:build --weights net.pt --sample-shape 64 -o net.nir
      neurodeploy compare net.nir --target loihi2 --input test.npz --report report.html

    Exit codes: 0 done; 1 outside the tolerance, not judged, or findings; 2 refused; 3 a backend is missing or died.
    """  # noqa: D301
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr
    )


def main() -> None:
    """Run the command line; a refusal is one message on standard error and an exit code, never a traceback."""
    try:
        cli(prog_name="neurodeploy", standalone_mode=False)
    except DeployError as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"neurodeploy: {as_said(error.on_command_line())}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("neurodeploy: stopped", err=True)
        sys.exit(130)
    except OutputError as error:
        _end_without_output(error)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"neurodeploy: an error that should not happen: {type(error).__name__}: {error}", err=True)
        click.echo(
            "  where: inside neurodeploy\n  fix:   Please report it with the output of `neurodeploy --debug ...`.",
            err=True,
        )
        sys.exit(2)


def _end_without_output(error: OutputError) -> NoReturn:
    """End where standard output takes no more: as a shell does where nobody reads on, else with the reason."""
    silence_output()
    if error.is_pipe:
        sys.exit(128 + signal.SIGPIPE)
    with suppress(OSError):
        click.echo(
            f"neurodeploy: the results cannot be written: {error.args[0].strerror}\n  where: standard output\n"
            "  fix:   Send the output to a place with room.",
            err=True,
        )
    sys.exit(2)
