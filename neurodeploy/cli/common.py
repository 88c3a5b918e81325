"""Options, progress bars and printing that several verbs share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from neurodeploy.cli.completion import complete_dialect, complete_target
from neurodeploy.cli.streams import InputPath, OutputPath, TargetName, as_said
from neurodeploy.files import to_json
from neurodeploy.ir.synapses import Shape

F = TypeVar("F", bound=Callable[..., Any])

PATH, INPUT, OUTPUT = click.Path(path_type=Path), InputPath(path_type=Path), OutputPath(path_type=Path)


def dialect_option(command: F) -> F:
    """Add ``--dialect``."""
    return click.option(
        "--dialect",
        metavar="NAME[,KEY=VALUE]...",
        shell_complete=complete_dialect,
        help="How the framework computes, where the file does not say: snntorch, norse, sinabs, rockpool, spikingjelly,"
        " spyx or nir, and any of dt, decay, gain, spike, reset, reset_delay, reset_drops_input, v_reset, v_init, bias,"
        " max_spikes, min_v_mem, tau_syn, norm_input, graded, order, output_delay; NODE:KEY=VALUE for one node,"
        " KEY=@FILE.npy for one value per neuron, edge:A->B=delayed for the edge of a loop that takes a step,"
        " rest=default for the framework's own defaults. For instance snntorch,reset=zero,rest=default or nir,dt=1e-3.",
    )(command)


def target_option(default: str | None = None, several: bool = False) -> Callable[[F], F]:
    """Return what adds ``--target``, which has to be said unless there is a default; ``several`` come as a tuple."""
    return click.option(
        "--target",
        *(("targets",) if several else ()),
        type=TargetName(),
        multiple=several,
        required=default is None,
        default=default,
        show_default=True,
        metavar="NAME|FILE.toml",
        shell_complete=complete_target,
        help="The chip: one that `neurodeploy targets` lists, or a TOML file of your own, ./mychip.toml; - is standard"
        f" input.{' Repeat for several, side by side.' if several else ''}",
    )


def decide_option(command: F) -> F:
    """Add ``--decide``."""
    return click.option(
        "--decide",
        metavar="RULE[,groups=N][,output=NAME]",
        help="How a sample is decided: count or first (of spikes), sum, mean, max or last (over time); groups=N adds up"
        " neighbouring units, output=NAME.v reads a membrane.  [default: as the file says, else spikes are counted]",
    )(command)


def host_option(command: F) -> F:
    """Add ``--host``."""
    return click.option(
        "--host",
        metavar="N|auto",
        callback=lambda _context, _option, value: int(value) if value is not None and value.isdigit() else value,
        help="Let the host run the first N layers in float, or those that real-valued input reaches; their spikes enter"
        " the chip.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def data_options(command: F) -> F:
    """Add the options that say how input data is read."""
    command = click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of a random encoding."
    )(command)
    command = click.option("--batch-first", is_flag=True, help="The data is [B, T, ...] instead of [T, B, ...].")(
        command
    )
    return click.option(
        "--encode",
        metavar="KIND[,steps=N][,scale=X]",
        help="Turn static data [B, ...] into spikes over time: rate, latency, or repeat (currents; reference only).",
    )(command)


def read_data(
    path: Path, inputs: dict[str, Shape], encode: str | None, batch_first: bool, seed: int, takes_counts: bool = True
) -> Any:
    """Return the data of a file for a model's inputs, as the options of :func:`data_options` say.

    Args:
        path: of the file. inputs: shapes of the model's inputs, by name. encode, batch_first, seed: as the options say.
        takes_counts: whether the chip takes several events of a step as a count.
    """
    data = open_data(path, inputs, encode, batch_first, seed, takes_counts=takes_counts)
    return data.part(0, data.n_samples)


def open_data(
    path: Path,
    inputs: dict[str, Shape],
    encode: str | None,
    batch_first: bool,
    seed: int,
    model: Path | str = "MODEL.nir",
    takes_counts: bool = True,
    chip: str = "the chip",
) -> Any:
    """Return the same, read in parts; messages name the model's file.

    Where ``chip`` does not take counts, events that repeat are one spike, which is said.

    Args:
        path: of the file. inputs: shapes of the model's inputs, by name. encode, batch_first, seed: as the options say.
        model: the file of the model. takes_counts: whether the chip takes several events of a step as a count.
        chip: as the message calls it.
    """
    from neurodeploy.coding.data_file import DataFile
    from neurodeploy.coding.encoding import parse_encoding

    encoding = parse_encoding(encode) if encode else None
    data = DataFile(
        path, inputs, encode=encoding, batch_first=batch_first, seed=seed, model=model, merge_repeats=not takes_counts
    )
    if data.n_repeats and not takes_counts:
        say(
            f"{path}: {data.n_repeats} events that repeat within a step are left out, because {chip} takes spikes"
            " of 0 and 1"
        )
    return data


def calibration_data(
    path: Path | None,
    inputs: dict[str, Shape],
    encode: str | None,
    batch_first: bool,
    seed: int,
    takes_counts: bool = True,
) -> Any:
    """Return calibration data, or None without a path; it is read as the other data of the command.

    Args:
        path, inputs, encode, batch_first, seed, takes_counts: see :func:`read_data`.
    """
    return None if path is None else read_data(path, inputs, encode, batch_first, seed, takes_counts)


def target_takes_counts(target: str) -> bool:
    """Tell whether a chip's input can be other than spikes of 0 and 1."""
    from neurodeploy.families.target_file import load_target

    return bool(load_target(target).formats()["message_bits_max"])


def compile_words(options: dict[str, Any]) -> dict[str, Any]:
    """Return compile's options as Python has them: whole numbers for bits, and words without commas."""
    bits, correct = options["weight_bits"], options.get("correct")
    if bits is not None and bits.lstrip("-").isdecimal():
        bits = int(bits)
    if correct is not None:
        correct = tuple(word for word in split_words((correct,)) if word != "none")
    return {**options, "weight_bits": bits, "correct": correct}


def split_words(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of an option that is repeated, or given with commas."""
    return tuple(dict.fromkeys(word.strip() for text in given for word in text.split(",") if word.strip()))


def number_errors(found: dict[str, Any]) -> str:
    """Return how far numbers are from what they are to meet."""
    correlation = "undefined" if found["correlation"] is None else f"{found['correlation']:.6f}"
    return (
        f"mean squared error {found['mean_squared_error']:.4g}, mean absolute error {found['mean_absolute_error']:.4g}"
        f" (standard deviation {found['spread']:.4g}), correlation {correlation}"
    )


def say(text: str) -> None:
    """Print a note for the person at the terminal, to standard error; where nobody hears it, nothing else is lost."""
    with suppress(OSError):
        click.echo(as_said(text), err=True)


def print_json(value: object) -> None:
    """Print JSON to standard output."""
    click.echo(to_json(value, indent=2))


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a function (label, done, in all) that draws bars on standard error, or None where no terminal listens."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        yield update
