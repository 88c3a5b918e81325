"""Runs of XyloSim 0.1.3 that were recorded elsewhere, and where they lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from neurodeploy.families.xylo.codes import XyloCodes, XyloNeurons, XyloRun
from tests.conftest import SHARED

FOLDER = Path(os.environ.get("XYLO_GOLDEN") or SHARED / "xylo-golden")


def paths() -> list[Path]:
    return sorted(FOLDER.glob("*.npz"))


def load(path: Path) -> tuple[XyloCodes, np.ndarray, XyloRun]:
    """Return a configuration, its inputs [T, 1, n_in] and what XyloSim recorded."""
    with np.load(path) as file:
        arrays = dict(file)
    config = json.loads(str(arrays.pop("config")))
    found = {key: values[:, None] for key, values in arrays.items()}
    run = XyloRun(
        found["s"], np.stack([found["i"], found["i2"]], 2), found["v"],
        found["s_out"], found["i_out"][:, :, None], found["v_out"],
    )  # fmt: skip
    return codes_of(config), found["inputs"], run


def codes_of(config: dict) -> XyloCodes:
    bias, bias_out = np.array(config["bias"]), np.array(config["bias_out"])
    has_bias = config["has_bias"] and config["version"] == 2
    return XyloCodes(
        weight_in=np.swapaxes(config["weights_in"], 1, 2),
        weight_rec=np.swapaxes(config["weights_rec"], 1, 2),
        weight_out=np.array(config["weights_out"])[:, None],
        shift_in=config["shift_in"],
        shift_rec=config["shift_rec"],
        shift_out=config["shift_out"],
        hidden=XyloNeurons(
            np.transpose(config["dash_syn"]), config["dash_mem"], config["threshold"], bias * has_bias
        ),
        outputs=XyloNeurons(
            [config["dash_syn_out"]], config["dash_mem_out"], config["threshold_out"], bias_out * has_bias
        ),
        alias=config["alias"],
        version=config["version"],
    )  # fmt: skip
