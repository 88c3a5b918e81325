"""What a real Loihi 2 chip sent and held, as the NIR paper published it, against our arithmetic and our probe rule.

The trace is of one Dense and one LIF over 1000 steps; Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9. Nothing
here runs on hardware: the chip's rows were recorded by the authors of that paper.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.loihi import clean_probe
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import SHARED

FOLDER = SHARED / "nir-paper" / "01_lif"
CHIP, CPU = FOLDER / "lif_lava_loihi_fixed.csv", FOLDER / "lif_lava_cpu_fixed.csv"
SPIKE_STEPS = [461, 511, 711, 761]

pytestmark = pytest.mark.skipif(not CHIP.is_file(), reason=f"the NIR paper's traces are not in {FOLDER}")


def read(path: Path) -> np.ndarray:
    """Return a published file's columns, whole numbers: the input's spikes, v, the neuron's spikes."""
    table = np.loadtxt(path, delimiter=",")
    assert table.shape == (1000, 3)
    assert (table == table.astype(int)).all()
    return table.astype(np.int32).T


def emulate(x: np.ndarray, arithmetic: str) -> tuple[np.ndarray, np.ndarray]:
    """Return v and spikes of the paper's net in hardware steps; its codes are those of ``lif_lava.ipynb``."""
    one = np.ones(1, np.int32)
    lif = LoihiPopulation("lif", (1,), 4095 * one, 163 * one, 25 * one, 0 * one, 0, 0 * one, 0 * one, 0, 1.0)
    dense = CodedProjection("in", "lif", np.array([[10]], np.int16), 0, 8, "mixed", 1)
    program = Program("loihi2", arithmetic, {"in": (1,)}, (lif,), (dense,), ("lif",), 1e-4, "nir", {})
    options = RunOptions(record=("spikes", "v"), arithmetic=arithmetic)
    node = Emulator().run(program, {"in": x.astype(np.uint8).reshape(-1, 1, 1)}, options).nodes["lif"]
    return node["v"].reshape(-1), node["spikes"].reshape(-1)


@pytest.fixture(params=["lava", "loihi"])
def emulated(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return emulate(read(CHIP)[0], request.param)


def test_both_files_have_the_same_input() -> None:
    np.testing.assert_array_equal(read(CHIP)[0], read(CPU)[0])
    assert read(CHIP)[0].any()


def test_spikes_equal_the_chips_in_all_rows(emulated: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(emulated[1], read(CHIP)[2])
    assert np.flatnonzero(emulated[1]).tolist() == SPIKE_STEPS


def test_v_equals_the_chips_but_for_the_refractory_counter(emulated: tuple[np.ndarray, np.ndarray]) -> None:
    v = read(CHIP)[1]
    assert np.flatnonzero(emulated[0] != v).tolist() == SPIKE_STEPS
    assert int((emulated[0] == v).sum()) == 996
    assert set(v[SPIKE_STEPS].tolist()) == {1 << 7}


def test_v_equals_the_chips_in_all_rows_once_the_probe_is_cleaned(emulated: tuple[np.ndarray, np.ndarray]) -> None:
    _, v, spikes = read(CHIP)
    np.testing.assert_array_equal(clean_probe(v, spikes), emulated[0])


def test_v_and_spikes_equal_the_paper_authors_lava_in_all_rows(emulated: tuple[np.ndarray, np.ndarray]) -> None:
    _, v, spikes = read(CPU)
    np.testing.assert_array_equal(emulated[0], v)
    np.testing.assert_array_equal(emulated[1], spikes)
