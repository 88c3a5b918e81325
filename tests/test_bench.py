"""The benchmark runs from end to end; what it measures so small says nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "tools" / "bench.py"
PARTS = ("dense", "batch", "conv", "activity", "size", "large")
SMALL = ("--steps", "100", "--repeats", "1", "--neurons", "2000", "--no-lava")


@pytest.mark.slow
def test_benchmark_writes_its_figures_and_a_page(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), *SMALL, "--only", *PARTS, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert set(result["details"]) == set(PARTS)
    assert {row["part"] for row in result["table"]} == set(PARTS)
    assert "plot-activity" in (tmp_path / "bench.html").read_text(encoding="utf-8")
