"""A network that rockpool runs comes nearer to its float counts through us than through rockpool's own quantiser."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# It is looked for and not imported, as that would import samna, which downloads itself.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("rockpool") is None, reason="rockpool is not installed")


def test_trained_network_keeps_its_counts_from_rockpool_to_the_chips_integers(tmp_path: Path) -> None:
    tool = [sys.executable, ROOT / "tools" / "bench_xylo_quantise.py"]
    asked = ["--seeds", "0", "--epochs", "3", "--calibrate", "100", "--json", tmp_path / "found.json"]
    done = subprocess.run([*tool, *asked], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["share"] < 0.5
    (result,) = found["results"]
    assert result["mean_count"] > 1
    assert result["scores"]["neurodeploy"]["error"] < 0.3
