"""Comparisons of a small model that the tests write themselves."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import decide
from neurodeploy.comparison.compare import Comparison, compare
from neurodeploy.comparison.side_by_side import SideBySide, compare_targets

RULES = json.dumps({"dialect": "snntorch", "dt": 1e-4, "rules": {"reset": "zero"}})
STEPS, SAMPLES, CLASSES = 20, 15, 3


def lif(n: int, decay: float) -> nir.LIF:
    """Return what snnTorch's exporter writes for a Leaky layer: unit gain, no leak potential."""
    tau = np.full(n, 1e-4 / (1 - decay))
    return nir.LIF(tau=tau, r=tau / 1e-4, v_leak=np.zeros(n), v_threshold=np.ones(n), v_reset=np.zeros(n))


def small_graph(rng: np.random.Generator, hidden: str = "lif1") -> nir.NIRGraph:
    """Return 6 inputs, 8 hidden neurons called ``hidden`` and 3 output neurons."""
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "fc1": nir.Affine(rng.normal(0.3, 0.5, (8, 6)), np.zeros(8)),
        hidden: lif(8, 0.87),
        "fc2": nir.Affine(rng.normal(0.2, 0.5, (CLASSES, 8)), np.zeros(CLASSES)),
        "lif2": lif(CLASSES, 0.91),
        "output": nir.Output({"output": np.array([CLASSES])}),
    }
    chain = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(chain)), metadata={"neurodeploy": RULES})


def small_comparison(model: Path | nir.NIRGraph, target: str, labelled: bool = True) -> Comparison:
    """Run reference and emulator on random spikes."""
    return compare(model, target, small_data(model, labelled), only=("reference", "emulator"))


def small_data(model: Path | nir.NIRGraph, labelled: bool = True) -> Data:
    """Return random spikes; their labels are what the reference decides."""
    rng = np.random.default_rng(5)
    x = (rng.random((STEPS, SAMPLES, 6)) < 0.4).astype(np.uint8)
    labels = decide(run(model, {"input": x})) if labelled else None
    return Data({"input": x}, labels, "spikes drawn at random, seed 5")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.nir"
    nir.write(path, small_graph(np.random.default_rng(4)))
    return path


@pytest.fixture(scope="session")
def on_loihi1(model: Path) -> Comparison:
    return small_comparison(model, "loihi1")


@pytest.fixture(scope="session")
def on_loihi2(model: Path) -> Comparison:
    return small_comparison(model, "loihi2")


@pytest.fixture(scope="session")
def unlabelled(model: Path) -> Comparison:
    return small_comparison(model, "loihi1", labelled=False)


@pytest.fixture(scope="session")
def hostile() -> Comparison:
    """A comparison whose hidden node's name would run a script on a careless page."""
    name = "<img src=x onerror=showTrouble('boo')><\\script>&\"'"
    return small_comparison(small_graph(np.random.default_rng(4), name), "loihi2")


HOSTILE_CHIP = "<img src=x onerror=showTrouble('boo')>&\""


@pytest.fixture(scope="session")
def chips(model: Path, tmp_path_factory: pytest.TempPathFactory) -> SideBySide:
    """Two chips that take the network, one of few bits and of a hostile name, and between them one that refuses it."""
    folder = tmp_path_factory.mktemp("chips")
    (folder / "tiny.toml").write_text('extends = "loihi1"\n[limits]\ncores = 1\nneurons_per_core = 4\n')
    (folder / "coarse.toml").write_text(
        f'extends = "loihi2"\nname = {json.dumps(HOSTILE_CHIP)}\n[number_formats]\nweight_bits_max = 2\n'
    )
    targets = ["loihi1", folder / "tiny.toml", folder / "coarse.toml"]
    return compare_targets(model, targets, small_data(model), only=("reference", "emulator"))
