"""Memory of recordings and reports: refused before it is taken, by real models on data that a small file holds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import neurodeploy
import neurodeploy.coding.data
from neurodeploy.backends.run import open_subject, recorded_bytes, run, run_blocks
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_file import DataFile
from neurodeploy.comparison.compare import compare
from neurodeploy.comparison.runner import Pace, Runner, choose_backends
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import ZERO, chain_edges, lif, save_nir, spikes

MEGABYTE = 2**20


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """One input for 5,000 neurons."""
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "fc": nir.Linear(np.full((5000, 1), 1.5, np.float32)),
        "lif": lif((5000,)),
        "output": nir.Output({"output": np.array([5000])}),
    }
    return save_nir(tmp_path / "wide.nir", nodes, chain_edges(*nodes), ZERO)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A million steps of two samples, as a list of two events."""
    at = np.array([0, 1])
    np.savez(tmp_path / "long.npz", t=at, unit=0 * at, sample=at, shape=np.array([10**6, 2, 1]))
    return tmp_path / "long.npz"


def peak_of(call: Callable[[], Any], match: str) -> int:
    """Return the bytes that a call had allocated at most when it was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(DeployError, match=match):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_recording_that_is_too_large_is_refused_before_there_is_one(wide: Path, long: Path) -> None:
    said = (
        r"a recording of 2 samples of 1,000,000 steps at once needs [\d,]{14} bytes(?s:.*)long.npz(?s:.*)record_nodes"
    )
    assert peak_of(lambda: run(wide, long), said) < 64 * MEGABYTE
    data = DataFile(long, {"input": (1,)})
    assert peak_of(lambda: next(run_blocks(open_subject(wide), data)), "1 sample of 1,000,000 steps") < 64 * MEGABYTE


def test_a_comparison_that_is_too_large_is_refused_before_anything_runs(wide: Path, long: Path) -> None:
    program = compile(wide, "loihi2", allow_silent=True)
    said = r"1 sample of 1,000,000 steps on reference needs(?s:.*)leave reference out"
    assert peak_of(lambda: compare(wide, "loihi2", long, program=program), said) < 256 * MEGABYTE


def test_as_many_samples_are_kept_for_the_report_as_memory_allows(
    fc_model: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Data({"input": spikes(rng, 15, 60, 12)}, None, "made")
    network, program = read_network(fc_model)[0], compile(fc_model, "loihi2", allow_silent=True)
    each = recorded_bytes(program, 15, RunOptions())
    only = ("reference", "emulator")
    monkeypatch.setattr(neurodeploy.coding.data, "BLOCK_BYTES", 7 * each)
    for room, most in ((10**9, 24 + 4), (12 * each, 6 + 4)):
        monkeypatch.setenv("NEURODEPLOY_MAX_RUN_BYTES", str(room))
        found = compare(fc_model, "loihi2", data, program=program, only=only)
        assert most - 4 - 3 <= len(found.shown) <= most
        runner = Runner(network, program, data, choose_backends(only)[0], Pace())
        assert runner.shown_samples * 2 * len(only) * runner.bytes_a_sample <= room
