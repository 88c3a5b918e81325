"""What runs in blocks of samples gives what the whole gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy.coding.data
from neurodeploy.backends.run import COUNTER_BYTES, open_subject, run, run_blocks
from neurodeploy.coding.data import Data
from neurodeploy.comparison.compare import compare
from neurodeploy.comparison.shown import KEPT
from neurodeploy.compiler import compile
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.ir.recording import Recording, Writer, save_recording
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.report.html import render_report
from tests.conftest import spikes

SAMPLES = 60


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    return Data({"input": spikes(rng, 15, SAMPLES, 12)}, rng.integers(0, 4, SAMPLES), "made")


def in_blocks_of(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Let so many samples of 12 inputs and 13 neurons in 2 populations be a block."""
    monkeypatch.setattr(neurodeploy.coding.data, "BLOCK_BYTES", n * 15 * (13 + 4 * 12 + 2 * COUNTER_BYTES))


def test_a_comparison_in_blocks_is_that_of_the_whole(
    fc_model: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = run(fc_model, data.x)
    nodes = {node: {"spikes": o["spikes"].copy()} for node, o in reference.nodes.items()}
    nodes["lif1"]["spikes"][3, 40, 5] ^= 1
    trained = Recording(nodes, {"backend": "a framework", "outputs": ["lif2"]})
    program = compile(fc_model, "loihi2", weight_bits=2, allow_silent=True)
    options: dict[str, Any] = {"program": program, "only": ("reference", "emulator"), "trained": trained}
    whole = compare(fc_model, "loihi2", data, **options)
    in_blocks_of(monkeypatch, 7)
    parts = compare(fc_model, "loihi2", data, **options)
    assert len(parts.shown) < SAMPLES
    assert len(whole.shown) == SAMPLES
    assert parts.result == whole.result
    broken = parts.result["equalities"]["reference_trained"]["first_difference"]
    assert (broken["node"], broken["sample"], broken["t"]) == ("lif1", 40, 3)
    assert {40, parts.result["first_difference"]["reference-emulator"]["sample"]} <= set(parts.shown)
    np.testing.assert_array_equal(parts.differs, whole.differs)
    assert 0 < len(parts.shown) <= 2 * KEPT + 4
    place = parts.shown.index(40)
    for name, recording in parts.recordings.items():
        np.testing.assert_array_equal(recording.spikes("lif1")[:, place], whole.recordings[name].spikes("lif1")[:, 40])
    assert '"index":40' in render_report(parts).replace(" ", "")


@pytest.mark.parametrize("backend", ["reference", "emulator"])
def test_a_recording_in_blocks_is_that_of_the_whole(
    fc_model: Path, data: Data, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_program(compile(fc_model, "loihi2", allow_silent=True), tmp_path / "p.npz")
    subject = open_subject(fc_model) if backend == "reference" else load_program(tmp_path / "p.npz")
    seen: list[tuple[int, int]] = []
    options = RunOptions(progress=lambda done, total: seen.append((done, total)))
    save_recording(run(subject, data.x, backend=backend), tmp_path / "whole.npz")
    in_blocks_of(monkeypatch, 7)
    with Writer(tmp_path / "blocks.npz") as writer:
        for _, recording in run_blocks(subject, data, backend=backend, options=options):
            assert recording.n_samples < SAMPLES
            writer.add(recording)
    assert (tmp_path / "blocks.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert seen[-1] == (SAMPLES, SAMPLES)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
