"""From a trained PyTorch module to a NIR file that says everything the module does."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.errors import DeployError, known
from neurodeploy.exporters.load_model import load_model
from neurodeploy.files import to_json, write_atomically
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import METADATA_KEY
from neurodeploy.recording import Recording, save_recording
from neurodeploy.version import __version__

DIALECT = "snntorch"
OBSERVABLES = ("spikes", "v", "u")
_CHECK_SAMPLES = 16
_CHECK_STEPS = 20


@dataclass(frozen=True, eq=False, slots=True)
class ExportResult:
    """What an export made.

    graph: the ``nir.NIRGraph`` that was written. path: of its file. framework: name and version. convention: how the
    model takes its input, with the evidence. outputs: the nodes that are read. findings: all of it as lines to print.
    """

    graph: Any
    path: Path
    framework: str
    convention: str
    outputs: tuple[str, ...]
    findings: tuple[str, ...]


def export(
    spec: str,
    *,
    weights: Path | None,
    sample_shape: tuple[int, ...],
    output: Path,
    inputs: NDArray[Any] | None = None,
    record_output: Path | None = None,
    dt: float = 1e-4,
    record: tuple[str, ...] = OBSERVABLES,
) -> ExportResult:
    """Export a trained snnTorch model to NIR, and on request record what the framework itself computes.

    Before it is written, the graph is read back and run on some samples of ``inputs`` (or random spikes) and must
    fire exactly as the model does.

    Args:
        spec: ``file.py:factory`` or ``package.module:factory``; the factory takes no argument and returns the module.
        weights: the module's state dict, as ``torch.save`` wrote it; None keeps the factory's.
        sample_shape: of one sample at one step, such as (1, 8, 8).
        output: the NIR file to write.
        inputs: data [T, B, *sample_shape].
        record_output: the recording to write of the framework's own run on ``inputs``.
        dt: seconds per step, written into the file; the model itself has none.
        record: what to record of each neuron: ``spikes``, and the states carried to the next step, ``v`` and ``u``
            (the synaptic current).

    Raises:
        DeployError: the request is wrong, or the model does something that NIR and our metadata cannot say.
    """
    _check_request(sample_shape, inputs, record_output, dt, record)
    model, findings = load_model(spec, weights)
    with _located(spec):
        found, convention, built = _follow(model, sample_shape, inputs, dt)
        neurons = {name: module for name, module in found.items() if name in built.nodes}
        versions = {name: importlib.metadata.version(name) for name in ("snntorch", "torch")}
        graph = _graph(built, dt, versions)
        checked = _check(graph, model, neurons, convention, sample_shape, inputs)
    content = _to_bytes(graph)
    write_atomically(Path(output), lambda stream: _write(stream, content))
    if inputs is not None and record_output is not None:
        meta = {
            "backend": "trained",
            "framework": DIALECT,
            "dialect": DIALECT,
            "dt": dt,
            "outputs": list(built.outputs),
            "versions": {"neurodeploy": __version__, **versions},
            "model_sha256": hashlib.sha256(content).hexdigest(),
        }
        save_recording(_record(model, neurons, convention, inputs, meta, record), Path(record_output))
    framework = f"snntorch {versions['snntorch']}"
    said = f"{convention.form}: {convention.evidence}"
    lines = (f"framework: {framework}", f"input: {said}", *findings, f"outputs: {', '.join(built.outputs)}")
    return ExportResult(graph, Path(output), framework, said, built.outputs, (*lines, *built.findings, *checked))


def _follow(
    model: Any, sample_shape: tuple[int, ...], inputs: NDArray[Any] | None, dt: float
) -> tuple[dict[str, Any], Any, Any]:
    """Return the model's neurons, the calling convention, and nodes and edges of the graph."""
    from neurodeploy.exporters.build_graph import build_graph
    from neurodeploy.exporters.convention import detect_convention, probe_input
    from neurodeploy.exporters.snntorch_neurons import neurons
    from neurodeploy.exporters.trace import trace_model

    found = neurons(model)
    convention = detect_convention(model, found, sample_shape, None if inputs is None else len(inputs))
    probe = probe_input(model, convention, sample_shape)
    trace = trace_model(model, found, convention.calls(probe))
    built = build_graph(trace, found, sample_shape, len(probe), dt)
    return found, convention, built


def _check_request(
    sample_shape: tuple[int, ...],
    inputs: NDArray[Any] | None,
    record_output: Path | None,
    dt: float,
    record: tuple[str, ...],
) -> None:
    if not sample_shape or any(extent < 1 for extent in sample_shape):
        raise DeployError(
            f"{list(sample_shape)} is no sample shape",
            where="--sample-shape",
            fix="Give the shape of one sample at one step, such as 1,8,8.",
        )
    if not np.isfinite(dt) or dt <= 0:
        raise DeployError(f"dt cannot be {dt}", where="dt", fix="It is above 0, in seconds.")
    if unknown := set(record) - set(OBSERVABLES):
        raise DeployError(
            f"{known(unknown)} cannot be recorded", where="record", fix=f"Choose among {known(OBSERVABLES)}."
        )
    if record_output is not None and inputs is None:
        raise DeployError("a recording needs input data", where="--record-output", fix="Give --input.")
    if inputs is not None and (tuple(inputs.shape[2:]) != tuple(sample_shape) or 0 in inputs.shape):
        wanted = ", ".join(map(str, ("steps", "samples", *sample_shape)))
        raise DeployError(
            f"the input has shape {list(inputs.shape)}, and [{wanted}] is needed",
            where="--input",
            fix="Check --sample-shape, and --batch-first if samples come before steps.",
        )


@contextmanager
def _located(spec: str) -> Iterator[None]:
    """Put the model's name before the place of a refusal."""
    try:
        yield
    except DeployError as error:
        raise DeployError(error.what, where=f"{spec}, {error.where}", fix=error.fix) from error


def _check(
    graph: Any,
    model: Any,
    found: dict[str, Any],
    convention: Any,
    sample_shape: tuple[int, ...],
    inputs: NDArray[Any] | None,
) -> tuple[str, ...]:
    """Read the graph back, run it beside the model on a few samples, and compare every spike; returns findings.

    Raises:
        DeployError: the graph does not compute what the model does.
    """
    if inputs is not None:
        x = np.asarray(inputs[:, :_CHECK_SAMPLES])
    else:
        rng = np.random.default_rng(0)
        n_steps = convention.n_steps or _CHECK_STEPS
        x = (rng.random((n_steps, _CHECK_SAMPLES, *sample_shape)) < 0.5).astype(np.float32)
        if convention.form == "static":
            x[1:] = x[0]
    network, _, _ = read_network(graph)
    data = {next(iter(network.inputs)): np.ascontiguousarray(x, dtype=np.float32)}
    trained = _record(model, found, convention, x, {}, ("spikes",))
    reference = Reference().run(network, data, RunOptions())
    equality = reference_equals(network, data, reference, trained)
    if equality["status"] == "fail":
        first = equality["first_difference"]
        raise DeployError(
            f"the graph does not compute what the model does: spikes of {first['node']!r} differ from step"
            f" {first['t']} on",
            where=first["node"],
            fix="forward does something between its modules that cannot be followed; write it with the"
            " supported modules.",
        )
    silent = [name for name in reference.nodes if not reference.spikes(name).any()]
    summary = f"check: {equality['reason']} of {len(x)} steps"
    return (summary, *(f"check: {name} never fired in it" for name in silent))


def _graph(built: Any, dt: float, versions: dict[str, str]) -> Any:
    import nir

    metadata = {
        "dialect": DIALECT,
        "dt": dt,
        "exporter": f"neurodeploy {__version__}",
        "framework": versions,
        "outputs": list(built.outputs),
    }
    # NIR's own type check infers wrong shapes for kernels that are not square and for groups; ours are checked against
    # the model.
    return nir.NIRGraph(built.nodes, list(built.edges), metadata={METADATA_KEY: to_json(metadata)}, type_check=False)


def _to_bytes(graph: Any) -> bytes:
    import nir

    stream = io.BytesIO()
    nir.write(stream, graph)
    return stream.getvalue()


def _write(stream: Any, content: bytes) -> None:
    stream.write(content)


def _record(
    model: Any,
    used: dict[str, Any],
    convention: Any,
    inputs: NDArray[Any],
    meta: dict[str, Any],
    record: tuple[str, ...],
) -> Recording:
    """Run the framework itself and return what its neurons did."""
    import torch

    from neurodeploy.exporters.convention import run_model

    tensor = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    calls = run_model(model, used, convention, tensor)
    nodes: dict[str, dict[str, NDArray[Any]]] = {}
    for name, made in calls.items():
        rows = {
            "spikes": [call.spikes for call in made],
            "v": [call.v for call in made],
            "u": [call.i for call in made],
        }
        nodes[name] = {key: torch.stack(rows[key]).numpy() for key in record if rows[key][0] is not None}
        if "spikes" in nodes[name]:
            nodes[name]["spikes"] = nodes[name]["spikes"].astype(np.uint8)
    return Recording(nodes, meta)
