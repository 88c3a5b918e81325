"""Small models with one neuron node, sound or with a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np

from tests.conftest import chain_edges, save_nir

NORSE, SINABS, SNNTORCH = "norse,rest=default", "sinabs,max_spikes=1,rest=default", "snntorch,reset=zero,rest=default"


def neuron(n: int, tau: Any, **params: Any) -> nir.LIF:
    ones = np.ones(n)
    values = {"r": ones, "v_leak": 0 * ones, "v_threshold": ones, "v_reset": 0 * ones} | params
    return nir.LIF(tau=tau * ones, **values)


def cuba(n: int, w_in: float = 1.0, tau: float = 0.01) -> nir.CubaLIF:
    ones = np.ones(n)
    return nir.CubaLIF(
        tau_syn=tau * ones, tau_mem=tau * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones,
        w_in=w_in * ones,
    )  # fmt: skip


def model(path: Path, node: Any, shape: Any = 3, out: Any = 2, rules: dict[str, Any] | None = None) -> Path:
    """Input, Linear 3 -> 2, the node, Output."""
    nodes = {
        "input": nir.Input({"input": np.atleast_1d(shape)}),
        "fc": nir.Linear(np.ones((2, 3))),
        "neuron": node,
        "output": nir.Output({"output": np.atleast_1d(out)}),
    }
    return save_nir(path / "m.nir", nodes, chain_edges("input", "fc", "neuron", "output"), rules)


def replace(file: Any, key: str, value: Any) -> None:
    del file[key]
    file[key] = value
