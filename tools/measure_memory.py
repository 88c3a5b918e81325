"""How much memory do run and compare take on a test set of real size?

    tools/measure-memory [--net small|large] [--samples 10000] [--folder F] [--json OUT.json]

``small`` is a convolutional network of 14,000 neurons on 2 x 34 x 34 events of 30 steps, ``large`` one of 60,000 on
2 x 128 x 128 of 16 steps, with weights and events drawn at random (seed 0). Each verb runs in a process of its own,
whose peak of resident memory and seconds are printed; the trained recording is the reference's own, as the
framework's would be. Files lie in the folder, 1 to 6 GB of them, and as much is taken in the temporary one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np

from neurodeploy.members import NpzWriter

DT = 1e-4
LIMIT_GIB = 4.0
NETS = {"small": ((2, 34, 34), 30), "large": ((2, 128, 128), 16)}
"""Shape of one step's input, and steps."""

BLOCK = 100


def lif(shape: tuple[int, ...]) -> nir.LIF:
    """Return neurons as snnTorch's exporter writes them: unit gain, a decay of 0.9."""
    ones = np.ones(shape)
    return nir.LIF(tau=ones * DT / 0.1, r=10 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)


def write_model(kind: str, path: Path, rng: np.random.Generator) -> None:
    """Write strided convolutions, then dense layers."""
    (channels, height, width), _ = NETS[kind]
    layers = [(8, 1), (16, 2), (16, 2), (16, 2)] if kind == "small" else [(8, 2), (16, 2), (32, 2), (32, 2)]
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([channels, height, width])})}
    for i, (out, stride) in enumerate(layers, start=1):
        weight = rng.normal(0.02, 0.9 / (3 * channels**0.5), (out, channels, 3, 3)).astype(np.float32)
        nodes[f"conv{i}"] = nir.Conv2d((height, width), weight, (stride, stride), (1, 1), (1, 1), 1, np.zeros(out))
        channels, height, width = out, -(-height // stride), -(-width // stride)
        nodes[f"lif{i}"] = lif((channels, height, width))
    n = channels * height * width
    nodes["flatten"] = nir.Flatten({"input": np.array([channels, height, width])}, 0, -1)
    nodes["fc"] = nir.Linear(rng.normal(0.0, 3.0 / n**0.5, (10, n)).astype(np.float32))
    nodes["out"] = lif((10,))
    nodes["output"] = nir.Output({"output": np.array([10])})
    rules = json.dumps({"dialect": "snntorch", "dt": DT, "rules": {"reset": "zero"}})
    nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes)), metadata={"neurodeploy": rules}, type_check=False))


def write_data(kind: str, samples: int, path: Path, rng: np.random.Generator) -> None:
    """Write random events, block by block, 3 % of all places."""
    shape, steps = NETS[kind]
    writer = NpzWriter()
    for first in range(0, samples, BLOCK):
        n = min(BLOCK, samples - first)
        writer.add({"x": (rng.random((steps, n, *shape), np.float32) < 0.03).astype(np.uint8)})
    writer.close(path, {"y": rng.integers(0, 10, samples)})


def measured(command: list[str]) -> dict[str, Any]:
    """Run a verb of neurodeploy; return its exit code, seconds and peak of resident memory."""
    start = time.perf_counter()
    code = "from neurodeploy.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    return {"code": process.returncode, "seconds": round(seconds, 1), "peak_gib": round(usage.ru_maxrss / 2**20, 2)}


def measure(kind: str, samples: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each verb takes."""
    model, data, program = folder / f"{kind}.nir", folder / f"{kind}-{samples}.npz", folder / f"{kind}-program.npz"
    trained, report = folder / f"{kind}-trained.npz", folder / f"{kind}.html"
    if not data.exists():
        write_model(kind, model, np.random.default_rng(0))
        write_data(kind, samples, data, np.random.default_rng(1))
    verbs = {
        "compile": ["compile", model, "--target", "loihi2", "--allow-silent", "-o", program],
        "run reference": ["run", model, "--backend", "reference", "--input", data, "-o", trained],
        "run emulator": ["run", program, "--backend", "emulator", "--input", data, "--record-nodes", "out"],
        "compare": ["compare", model, "--target", "loihi2", "--program", program, "--input", data, "--backend",
                    "reference", "--backend", "emulator", "--tolerance", "100", "--report", report],
    }  # fmt: skip
    found = {}
    for verb, command in verbs.items():
        found[verb] = measured([str(word) for word in command])
        print(f"{kind}, {samples} samples, {verb}: {found[verb]}", flush=True)
        if verb == "run reference":
            _call_trained(trained)
            verbs["compare"] += ["--trained", trained]
    return found


def _call_trained(path: Path) -> None:
    """Say of a recording of ours that a framework made it, which compare insists on."""
    from neurodeploy.ir.recording import RecordingFile, Writer

    ours = RecordingFile(path)
    with Writer(path) as writer:
        for first in range(0, ours.n_samples, BLOCK):
            part = ours.part(first, first + BLOCK)
            writer.add(type(part)(part.nodes, {**part.meta, "backend": "a framework"}, part.counters))


def main() -> None:
    """Measure, print, and fail where a verb fails or passes the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=NETS, action="append", help="Default: both.")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        found = {kind: measure(kind, arguments.samples, folder) for kind in arguments.net or NETS}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    over = [
        f"{kind} {verb}"
        for kind, verbs in found.items()
        for verb, one in verbs.items()
        if one["code"] or one["peak_gib"] >= LIMIT_GIB
    ]
    sys.exit(f"failed, or {LIMIT_GIB:g} GiB and more: {', '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
