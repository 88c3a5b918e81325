"""Trials of a search: what each measured, and the file that keeps them, so that a killed search goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurodeploy.budget import MAX_TEXT_BYTES
from neurodeploy.errors import DeployError
from neurodeploy.files import from_json, to_json

FORMAT, VERSION = "neurodeploy-search", 1

Widths = tuple[int | str, ...]
"""Bits of each projection, in the model's order; or ``ternary`` or ``binary``."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A program with certain widths, run on the search data.

    widths: bits of each projection. weight_bytes: of all weights, as the chip stores them.
    energy: J per sample by the chosen profile, or None where there is none.
    correct, samples: how many samples are decided rightly, of how many; None without labels.
    lost_points: points of accuracy lost against the float reference; negative is a gain.
    agreement: share of the outputs' spikes in common with the reference; None where the outputs do not fire.
    agreement_all: the same of all populations that fire.
    """

    widths: Widths
    weight_bytes: float
    energy: float | None
    correct: int | None
    samples: int
    lost_points: float | None
    agreement: float | None
    agreement_all: float


Outcome = Trial | str
"""A trial, or why the chip or the compiler refuses these widths."""


class StateFile:
    """Trials as lines of JSON behind a header that tells which search they are of; kept nowhere if ``path`` is None.

    Every line is on the disk before the search goes on. A line that a kill cut short is taken off again.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self.path = path
        self.header = to_json({"format": FORMAT, "version": VERSION, **header})

    def load(self) -> dict[Widths, Outcome]:
        """Return the trials of an earlier run; an empty file begins where there is none.

        Raises:
            DeployError: the file is of another search, or no such file, or cannot be written.
        """
        if self.path is None:
            return {}
        with _writable(self.path):
            there = self.path.exists()
            MAX_TEXT_BYTES.check(self.path.stat().st_size if there else 0, "the state of a search", str(self.path))
            content = self.path.read_bytes() if there else b""
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and self.header.encode().startswith(content):
            self._write("wb", self.header)
            return {}
        found = self._read(whole or content)
        if whole != content:
            with _writable(self.path):
                os.truncate(self.path, len(whole))
        return found

    def append(self, widths: Widths, outcome: Outcome) -> None:
        """Add a trial."""
        told = {"refused": outcome} if isinstance(outcome, str) else asdict(outcome)
        self._write("ab", to_json({**told, "widths": list(widths)}))

    def _write(self, mode: str, line: str) -> None:
        if self.path is None:
            return
        with _writable(self.path), open(self.path, mode) as stream:
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _read(self, content: bytes) -> dict[Widths, Outcome]:
        found: dict[Widths, Outcome] = {}
        try:
            header, *lines = content.decode().splitlines()
            self._check(from_json(header))
            for line in lines:
                told = from_json(line)
                widths = tuple(told.pop("widths"))
                found[widths] = told["refused"] if "refused" in told else Trial(widths, **told)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeployError(
                f"this is not the state of a search ({error})",
                where=str(self.path),
                fix="Name another file, or remove this one to start again.",
            ) from error
        return found

    def _check(self, theirs: Any) -> None:
        """Refuse the state of another search."""
        ours = json.loads(self.header)
        if not isinstance(theirs, dict) or theirs.get("format") != FORMAT:
            raise ValueError("its first line is not a header")
        differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if differing:
            raise DeployError(
                f"this is the state of another search: {', '.join(differing)} differ",
                where=str(self.path),
                fix="Give each search a --search-state of its own, or remove this file to start again.",
            )


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a message."""
    try:
        yield
    except OSError as error:
        raise DeployError(
            f"the state of the search cannot be written there: {error.strerror}",
            where=str(path),
            fix="Name a file in a folder that exists and is writable.",
        ) from error
