"""Files that are streams: ``-`` for standard input or output, and pipes such as those of ``<(...)``.

NIR and NumPy files are read from their end, which a stream does not have: what it holds is kept in a temporary file
while the command runs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

STANDARD = "-"


class InputPath(click.Path):
    """A file to read; standard input where it is ``-``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path of a file that can be read from any place in it."""
        path = Path(value)
        if ctx is None or not (str(value) == STANDARD or path.is_fifo()):
            return path
        kept = ctx.with_resource(_folder()) / ("standard input" if str(value) == STANDARD else "pipe")
        with kept.open("wb") as file:
            if str(value) == STANDARD:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with path.open("rb") as stream:
                    shutil.copyfileobj(stream, file)
        return kept


class OutputPath(click.Path):
    """A file to write; standard output where it is ``-``, and what would be printed there goes to standard error."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path to write to."""
        if ctx is None or str(value) != STANDARD:
            return Path(value)
        return ctx.with_resource(_standard_output())


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="neurodeploy-") as folder:
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
