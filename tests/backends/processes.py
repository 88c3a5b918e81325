"""Processes that live, for tests of what a run leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROC = Path("/proc")

needs_proc = pytest.mark.skipif(not PROC.is_dir(), reason="these tests look for processes in /proc, which is not here")


def processes() -> list[tuple[int, int, int]]:
    """Return (pid, parent, session) of all that live."""
    found = []
    for path in PROC.glob("[0-9]*/stat"):
        try:
            state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if state not in "ZX":
            found.append((int(path.parent.name), int(parent), int(session)))
    return found


def sessions_begun_by(parent: int) -> set[int]:
    return {pid for pid, its_parent, session in processes() if its_parent == parent and session == pid}


def members(session: int) -> list[int]:
    return [pid for pid, _, its_session in processes() if its_session == session]


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value
