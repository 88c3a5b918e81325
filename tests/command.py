"""The command line, in this process or in one of its own."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from neurodeploy.cli.main import main

Ended = subprocess.CompletedProcess[str]


def neurodeploy(*arguments: object) -> Ended:
    """Return how the command line ends in this process, which has its libraries already, and what it writes."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    words: list[str] = ["neurodeploy", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", words)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(words, code, out.getvalue(), err.getvalue())


def in_a_process(*arguments: object, **options: Any) -> Ended:
    """Return the same of a process of its own, as a shell starts it; ``options`` as for subprocess.run."""
    words = [sys.executable, "-m", "neurodeploy", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)
