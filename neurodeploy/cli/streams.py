"""Files that are streams: ``-`` for standard input or output, and pipes such as those of ``<(...)``.

NIR and NumPy files are read from their end, which a stream does not have: what it holds is kept in a temporary file
while the command runs.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from neurodeploy.errors import DeployError

STANDARD = "-"

_FULL = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


_IS_READ = f"{__name__}.standard_input_is_read"

_folders: set[str] = set()


def is_stream(path: Path) -> bool:
    """Tell whether a path stands for a standard stream or a pipe."""
    return str(path.parent) in _folders


def as_said(text: object) -> str:
    """Return a text for a person, in which streams have their names and not those of the files that keep them."""
    shown = str(text)
    for folder in _folders:
        shown = shown.replace(f"{folder}{os.sep}", "")
    return shown


class InputPath(click.Path):
    """A file to read; standard input where it is ``-``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of a file that can be read from any place in it."""
        path = Path(value)
        if ctx is None or not (str(value) == STANDARD or path.is_fifo()):
            return path
        if str(value) == STANDARD:
            if ctx.meta.get(_IS_READ):
                raise DeployError(
                    "standard input is given twice, but can be read only once",
                    where=STANDARD if param is None else param.human_readable_name,
                    fix="Give files for all but one of them.",
                )
            ctx.meta[_IS_READ] = True
        kept = ctx.with_resource(_folder()) / ("standard input" if str(value) == STANDARD else "pipe")
        with kept.open("wb") as file:
            if str(value) == STANDARD:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with path.open("rb") as stream:
                    shutil.copyfileobj(stream, file)
        return kept


class TargetName(InputPath):
    """A chip's name, or its file; standard input where it is ``-``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a name as it is, and the path of a file that can be read more than once for a stream."""
        return super().convert(value, param, ctx) if value == STANDARD or Path(value).is_fifo() else value


class OutputPath(click.Path):
    """A file to write; standard output where it is ``-``, and what would be printed there goes to standard error."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path to write to."""
        if ctx is None or str(value) != STANDARD:
            return Path(value)
        return ctx.with_resource(_standard_output())


class OutputError(Exception):
    """Standard output, or another stream, takes no more; ``args[0]`` is the system's own error."""

    @property
    def is_pipe(self) -> bool:
        """Whether somebody reads no more, as ``head`` does."""
        return isinstance(self.args[0], BrokenPipeError)


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise an OutputError where a stream takes no more; files are written by functions that name them."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _FULL:
            raise OutputError(error) from error
        raise


def silence_output() -> None:
    """Let what standard output or standard error no longer take go nowhere, so that Python ends quietly."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="neurodeploy-") as folder:
        _folders.add(folder)
        yield Path(folder)


@contextmanager
def _standard_output() -> Iterator[Path]:
    """Yield a file whose content goes to standard output in the end, if the command wrote it."""
    out = sys.stdout.buffer
    with _folder() as folder, redirect_stdout(sys.stderr):
        path = folder / "standard output"
        yield path
        if path.exists():
            with path.open("rb") as file:
                shutil.copyfileobj(file, out)
            out.flush()
