"""Emulator and its twin against traces that Lava's own runtime left (outside the repository)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LAVA
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import SHARED

GOLDEN = SHARED / "lava-golden"
NEURONS = ("lif", "lif_reset")
NAMES = ("conv", "delays", "fc1", "fc2_bias", "lif_reset", "neg_decay_trunc", "recurrent", "saturating_24bit")


@pytest.mark.parametrize("name", NAMES)
def test_emulator_and_twin_repeat_lavas_trace(name: str) -> None:
    if not GOLDEN.is_dir():
        pytest.skip("no golden Lava traces beside the repository (shared/data/lava-golden)")
    meta = json.loads((GOLDEN / f"{name}.meta.json").read_text())
    with np.load(GOLDEN / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    program = golden_program(meta, arrays)
    x = nir_order(arrays["inp.data"], program.inputs["inp"])[:, np.newaxis]
    recording = Emulator().run(
        program, {"inp": x.astype(np.uint8)}, RunOptions(record=("spikes", "u", "v"), arithmetic="lava", raw_time=True)
    )
    traces = definition.run(program, {"inp": x}, LAVA)
    for population in program.populations:
        for key, trace in (("spikes", "s"), ("u", "u"), ("v", "v")):
            expected = nir_order(arrays[f"trace.{population.name}.{trace}"], population.shape)
            got = recording.nodes[population.name][key][: meta["T"], 0]
            np.testing.assert_array_equal(got, expected, err_msg=f"{population.name} {key}")
            of_twin = getattr(traces, key)[population.name][: meta["T"], 0]
            np.testing.assert_array_equal(of_twin.reshape(expected.shape), expected)


def golden_program(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Program:
    """Return a golden net as a program; Lava's (X, Y, C) becomes (C, X, Y), and each delay a projection of its own."""

    def value(x: Any) -> Any:
        return arrays[x["npz"]] if isinstance(x, dict) else x

    nodes, edges = meta["nodes"], meta["edges"]
    shapes = {n: tuple(node["shape"]) for n, node in nodes.items() if node["type"] in NEURONS}
    shapes["inp"] = value(nodes["inp"]["data"]).shape[1:]
    shapes = {n: (s[2], s[0], s[1]) if len(s) == 3 else s for n, s in shapes.items()}
    populations = [golden_population(n, nodes[n], shapes[n], value) for n in shapes if n != "inp"]
    projections = []
    for name, node in nodes.items():
        if node["type"] in ("source", *NEURONS):
            continue
        source = next(a for a, b in edges if b == name)
        target = next(b for a, b in edges if a == name)
        projections += golden_projections(node, source, target, shapes, value)
    return Program("loihi2", "lava", {"inp": shapes["inp"]}, tuple(populations), tuple(projections), (), 1.0, "nir", {})


def golden_population(name: str, node: dict[str, Any], shape: tuple[int, ...], value: Any) -> LoihiPopulation:
    bias = np.asarray(value(node.get("bias_mant", 0)), np.int64)
    exponent = np.asarray(value(node.get("bias_exp", 0)), np.int64)
    shifted = np.where(exponent >= 0, bias << np.maximum(exponent, 0), bias >> np.maximum(-exponent, 0))
    start = (np.asarray(node.get(key, 0)) for key in ("u0", "v0"))
    resets = {key: node[key] for key in ("reset_interval", "reset_offset") if key in node}
    codes = (node["du"], node["dv"], node["vth"], shifted, 0, *start)
    return LoihiPopulation(name, shape, *codes, latency=0, unit=1.0, model=NeuronModel(**resets))


def golden_projections(
    node: dict[str, Any], source: str, target: str, shapes: dict[str, tuple[int, ...]], value: Any
) -> list[CodedProjection]:
    exponent = node.get("weight_exp", 0)
    if node["type"] == "conv":
        weight = value(node["weight"]).transpose(0, 3, 1, 2)[:, :, ::-1, ::-1]
        geometry = {key: tuple(node[key]) for key in ("stride", "padding", "dilation")}
        return [CodedProjection(source, target, weight, 0, 8, "mixed", 1, **geometry, groups=node["groups"])]
    weight = truncated(value(node["weights"]))
    if len(shapes[source]) == 3:
        c, x, y = shapes[source]
        weight = weight.reshape(-1, x, y, c).transpose(0, 3, 1, 2).reshape(len(weight), -1)
    delays = np.asarray(value(node["delays"])) if "delays" in node else np.zeros(weight.shape, int)
    return [
        CodedProjection(source, target, np.where(delays == delay, weight, 0), exponent, 8, "mixed", int(delay) + 1)
        for delay in np.unique(delays)
    ]


def truncated(weight: np.ndarray) -> np.ndarray:
    """Return weights as Lava's Dense stores them: clipped, and even where both signs occur."""
    if weight.min() < 0 < weight.max():
        return (np.clip(weight, -256, 255) >> 1) << 1
    return np.clip(weight, 0, 255) if weight.min() >= 0 else np.clip(weight, -255, 0)


def nir_order(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return ``[T, X, Y, C]`` as ``[T, C, X, Y]``."""
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if len(shape) == 3 else array


def test_the_golden_traces_are_all_covered() -> None:
    if not GOLDEN.is_dir():
        pytest.skip("no golden Lava traces beside the repository (shared/data/lava-golden)")
    assert {Path(path.stem).stem for path in GOLDEN.glob("*.meta.json")} == set(NAMES)
