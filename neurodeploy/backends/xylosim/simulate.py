"""Run a configuration on XyloSim, which lives in a Python and a process session of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.session import Task, run_session
from neurodeploy.backends.xylosim.install import SIMULATOR
from neurodeploy.errors import BackendError
from neurodeploy.families.xylo.codes import HIDDEN_MAX, NO_ALIAS, XyloCodes, XyloRun, empty_run
from neurodeploy.files import to_json, write_text

WORKER = Path(__file__).with_name("worker.py")

CHUNK = 1000
"""Steps between two lines of progress, and of which XyloSim holds the recording at a time."""


def run(
    codes: XyloCodes,
    inputs: NDArray[Any],
    time_limit: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> XyloRun:
    """Run samples from rest on XyloSim.

    Args:
        codes: the configuration.
        inputs: whole numbers from 0 to 255 [T, B, n_in], spikes of each channel in each step; above 15 count 15.
        time_limit: seconds; without one a run is ended when it makes no progress for minutes.
        progress: told of steps done and steps in all, over all samples.

    Returns:
        Spikes, currents and v of all neurons, after each step.

    Raises:
        ValueError: the inputs have another shape, or counts outside 0 to 255, or there are no channels or no neurons.
        BackendError: XyloSim is missing, died or took too long.
    """
    counts = codes.counts(inputs).astype(np.uint8)
    if not codes.n_in or not codes.hidden.size:
        raise ValueError("XyloSim needs at least one input channel and one hidden neuron")
    if (python := SIMULATOR.python()) is None:
        raise BackendError(
            "XyloSim is not installed", where="neurodeploy.backends.xylosim", fix=f"{SIMULATOR.how_to_install}."
        )
    task = Task(WORKER, partial(_fill, codes=codes, counts=counts), patience(codes), time_limit, progress)
    return run_session(
        SIMULATOR, python, task, partial(_read, codes=codes, n_steps=len(counts), n_samples=counts.shape[1])
    )


def patience(codes: XyloCodes) -> float:
    """Return seconds without progress after which XyloSim has surely hung: far more than a chunk can take.

    Measured with xylosim 0.1.3: some 5 ns for each synapse and spike.
    """
    n_synapses = sum(np.count_nonzero(weight) for weight in (codes.weight_in, codes.weight_rec, codes.weight_out))
    return 120 + CHUNK * HIDDEN_MAX * 1e-7 * n_synapses


def arguments(codes: XyloCodes) -> dict[str, Any]:
    """Return what XyloSim's layer is made of; of weights, those that are not 0, as target, synapse and weight."""
    hidden, outputs = codes.hidden, codes.outputs
    second = [hidden.dash_syn[-1] * (hidden.n_synapses - 1)]
    found = {
        "synapses_in": _synapses(codes.weight_in),
        "synapses_rec": _synapses(codes.weight_rec),
        "synapses_out": _synapses(codes.weight_out),
        "aliases": [[] if alias == NO_ALIAS else [alias] for alias in codes.alias.tolist()],
        "threshold": hidden.threshold_code.tolist(),
        "threshold_out": outputs.threshold_code.tolist(),
        "weight_shift_inp": codes.shift_in,
        "weight_shift_rec": codes.shift_rec,
        "weight_shift_out": codes.shift_out,
        "dash_mem": hidden.dash_mem.tolist(),
        "dash_mem_out": outputs.dash_mem.tolist(),
        # Version 2 has two currents for each hidden neuron; one that no weight reaches stays 0.
        "dash_syns": np.stack([hidden.dash_syn[0], *second], axis=1).tolist(),
        "dash_syns_out": outputs.dash_syn.T.tolist(),
    }
    if codes.version == 2:
        found |= {
            "has_bias": bool(hidden.bias_code.any() or outputs.bias_code.any()),
            "bias": hidden.bias_code.tolist(),
            "bias_out": outputs.bias_code.tolist(),
        }
    return found


def _synapses(weight: NDArray[np.int64]) -> list[list[tuple[int, int, int]]]:
    found: list[list[tuple[int, int, int]]] = [[] for _ in weight]
    for source, synapse, target in np.argwhere(weight).tolist():
        found[source].append((target, synapse, int(weight[source, synapse, target])))
    return found


def _fill(folder: Path, codes: XyloCodes, counts: NDArray[np.uint8]) -> None:
    (folder / "inputs.bin").write_bytes(counts.swapaxes(0, 1).tobytes())
    request = {
        "version": codes.version,
        "arguments": arguments(codes),
        "n_synapses": codes.hidden.n_synapses,
        "n_in": codes.n_in,
        "n_steps": len(counts),
        "n_samples": counts.shape[1],
        "chunk": CHUNK,
        "inputs": str(folder / "inputs.bin"),
        "output": str(folder / "output.bin"),
    }
    write_text(folder / "request.json", to_json(request))


def _read(folder: Path, codes: XyloCodes, n_steps: int, n_samples: int) -> XyloRun:
    """Return what the worker wrote.

    Raises:
        BackendError: it wrote less or more than it should have.
    """
    values = np.fromfile(folder / "output.bin", np.int16)
    sizes = (2 + codes.hidden.n_synapses) * codes.hidden.size + 3 * codes.outputs.size
    if values.size != n_steps * n_samples * sizes:
        raise BackendError(
            f"XyloSim recorded {values.size:,} numbers instead of {n_steps * n_samples * sizes:,}",
            where="XyloSim's worker process",
            fix=SIMULATOR.report,
        )
    run, at = empty_run(codes, n_steps, n_samples), 0
    for sample in range(n_samples):
        for begin in range(0, n_steps, CHUNK):
            rows = slice(begin, min(begin + CHUNK, n_steps))
            for register in _registers(run, rows, sample):
                register[...] = values[at : at + register.size].reshape(register.shape)
                at += register.size
    return run


def _registers(run: XyloRun, rows: slice, sample: int) -> Iterator[NDArray[Any]]:
    """Yield views of a run in the order and with the axes that XyloSim has: its states are [neuron][step]."""
    for spikes, i, v in ((run.spikes, run.i, run.v), (run.spikes_out, run.i_out, run.v_out)):
        yield spikes[rows, sample]
        for synapse in range(i.shape[2]):
            yield i[rows, sample, synapse].T
        yield v[rows, sample].T
