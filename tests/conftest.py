"""What many tests share: small models on disk, and where outside data may lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.backends.xylosim.install import SIMULATOR, find_compiler, install_xylo
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import BackendError
from neurodeploy.ir.program import Program

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ROOT = Path(__file__).resolve().parents[1]

DT = 1e-4

WriteModel = Callable[..., Path]


@pytest.fixture(scope="session")
def xylosim() -> None:
    """Install XyloSim where it is not there, or skip with the reason why it cannot be."""
    if SIMULATOR.missing() is None:
        return
    if find_compiler() is None:
        pytest.skip("XyloSim is not installed, and there is no C++ compiler to build it")
    try:
        install_xylo()
    except BackendError as error:
        pytest.skip(f"XyloSim cannot be installed here: {error.what}")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def lif(shape: tuple[int, ...], beta: float = 0.9, threshold: float = 1.0) -> nir.LIF:
    """A LIF node as snnTorch's parameters come out in NIR."""
    ones = np.ones(shape)
    return nir.LIF(
        tau=ones * DT / (1 - beta), r=ones / (1 - beta), v_leak=0 * ones, v_threshold=threshold * ones, v_reset=0 * ones
    )


def cuba(shape: tuple[int, ...], alpha: float = 0.7, beta: float = 0.8, threshold: float = 1.0) -> nir.CubaLIF:
    """A CubaLIF node as snnTorch's parameters come out in NIR."""
    ones = np.ones(shape)
    return nir.CubaLIF(
        tau_syn=ones * DT / (1 - alpha), tau_mem=ones * DT / (1 - beta), r=ones / (1 - beta), v_leak=0 * ones,
        v_threshold=threshold * ones, v_reset=0 * ones, w_in=ones / (1 - alpha),
    )  # fmt: skip


def save_nir(
    path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]], rules: dict[str, Any] | None = None
) -> Path:
    """Write a NIR file that says of itself that snnTorch made it, unless ``rules`` is None."""
    metadata = {} if rules is None else {"neurodeploy": json.dumps({"dialect": "snntorch", "dt": DT, "rules": rules})}
    nir.write(path, nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False))
    return path


def chain_edges(*names: str) -> list[tuple[str, str]]:
    return list(pairwise(names))


ZERO = {"reset": "zero"}
SAME_STEP = {"reset": "zero", "reset_delay": False}


@pytest.fixture
def fc_model(tmp_path: Path, rng: np.random.Generator) -> Path:
    """12-9-4 with biases, reset to zero."""
    nodes = {
        "input": nir.Input({"input": np.array([12])}),
        "fc1": nir.Affine(rng.normal(0, 0.5, (9, 12)).astype(np.float32), rng.normal(0, 0.1, 9).astype(np.float32)),
        "lif1": lif((9,)),
        "fc2": nir.Affine(rng.normal(0, 0.6, (4, 9)).astype(np.float32), rng.normal(0, 0.1, 4).astype(np.float32)),
        "lif2": lif((4,), 0.8),
        "output": nir.Output({"output": np.array([4])}),
    }
    return save_nir(tmp_path / "fc.nir", nodes, chain_edges("input", "fc1", "lif1", "fc2", "lif2", "output"), ZERO)


@pytest.fixture
def recurrent_model(tmp_path: Path, rng: np.random.Generator) -> Path:
    """6-8 recurrent with synaptic current, then 3; a skip connection from the input to the last layer."""
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "fc1": nir.Affine(rng.normal(0, 0.6, (8, 6)).astype(np.float32), rng.normal(0, 0.05, 8).astype(np.float32)),
        "lif1": cuba((8,)),
        "w_rec": nir.Linear(rng.normal(0, 0.3, (8, 8)).astype(np.float32)),
        "fc2": nir.Linear(rng.normal(0, 0.6, (3, 8)).astype(np.float32)),
        "skip": nir.Linear(rng.normal(0, 0.4, (3, 6)).astype(np.float32)),
        "lif2": lif((3,)),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [
        *chain_edges("input", "fc1", "lif1", "fc2", "lif2", "output"),
        ("lif1", "w_rec"), ("w_rec", "lif1"), ("input", "skip"), ("skip", "lif2"),
    ]  # fmt: skip
    return save_nir(tmp_path / "recurrent.nir", nodes, edges, SAME_STEP)


@pytest.fixture
def conv_model(tmp_path: Path, rng: np.random.Generator) -> Path:
    """2x7x6 - conv (grouped, strided, padded, dilated) - pool - dense."""
    nodes = {
        "input": nir.Input({"input": np.array([2, 7, 6])}),
        "conv": nir.Conv2d(
            (7, 6), rng.normal(0, 0.5, (4, 1, 3, 2)).astype(np.float32), (1, 2), (1, 1), (2, 1), 2, np.zeros(4)
        ),
        "lif1": lif((4, 5, 4)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1),
        "fc": nir.Linear(rng.normal(0, 0.8, (5, 16)).astype(np.float32)),
        "lif2": lif((5,)),
        "output": nir.Output({"output": np.array([5])}),
    }
    edges = chain_edges("input", "conv", "lif1", "pool", "flatten", "fc", "lif2", "output")
    return save_nir(tmp_path / "conv.nir", nodes, edges, ZERO)


def small_chip(folder: Path, **limits: int) -> Path:
    """Write a Loihi 2 of one core, for what does not fit."""
    limits = {"cores": 1, **limits}
    lines = ['extends = "loihi2"', 'title = "Small chip"', "[limits]", *(f"{key} = {n}" for key, n in limits.items())]
    (folder / "small.toml").write_text("\n".join(lines))
    return folder / "small.toml"


def spikes(rng: np.random.Generator, *shape: int, share: float = 0.3) -> np.ndarray:
    return (rng.random(shape) < share).astype(np.uint8)


def told(model: Any, target: str, **options: Any) -> Program:
    """Return a program that has all that compile says among its warnings."""
    found = compile_with_plan(model, target, **options)
    assert found.contract is not None
    return replace(found.program, warnings=(*found.contract.warnings, *found.program.warnings))
