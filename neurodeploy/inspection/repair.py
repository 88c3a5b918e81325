"""Write a model so that reading it needs no option any more, with the spikes that it has under the stated dialect."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.files import to_json, write_atomically
from neurodeploy.importers.dialects import FIRING, NEURONS, Settings
from neurodeploy.importers.lower import lower
from neurodeploy.importers.metadata import METADATA_KEY
from neurodeploy.importers.nir_graph import NirGraph, read_graph
from neurodeploy.importers.node import NirNode
from neurodeploy.importers.parameters import right_r, right_w_in
from neurodeploy.importers.settle import Dialect, resolve_dialect
from neurodeploy.importers.shapes import batch_axes, infer_shapes
from neurodeploy.ir.synapses import Shape
from neurodeploy.version import __version__

_TAUS = ("tau", "tau_mem", "tau_syn")


def repair(model: Path | str, dialect: str | None, output: Path) -> None:
    """Repair a model file.

    Single values are spread over the population, the batch's axes are left out of Inputs and Outputs, time constants
    are brought to seconds and clamped as the framework clamps them, r and w_in are those with which NIR's own equations
    have the dialect's gains, a missing v_reset is written, repeated edges are removed, graphs inside the graph opened,
    and metadata say the dialect with every rule of every neuron.

    Args:
        model: the file. dialect: as given to ``--dialect``, or None. output: the file to write.

    Raises:
        DeployError: the dialect is not known, the repaired network would still be refused, or ``output`` is the model.
    """
    if Path(output).resolve() == Path(model).resolve():
        raise DeployError("the repaired file would replace the model", where="-o", fix="Name another file.")
    graph = read_graph(model)
    try:
        settled = resolve_dialect(graph, dialect)
    except DeployError as error:
        raise DeployError(
            f"a model is not repaired while its dialect is open: {error.what}", where=error.where, fix=error.fix
        ) from error
    repaired = repaired_graph(graph, settled)
    lower(repaired, resolve_dialect(repaired))
    write_graph(repaired, output)


def repaired_graph(graph: NirGraph, settled: Dialect) -> NirGraph:
    """Return the graph as :func:`repair` writes it."""
    graph = graph.as_meant_by(settled.name)
    axes = batch_axes(graph)
    shapes = infer_shapes(graph, axes).leaving
    nodes = {
        name: _repaired_node(node, shapes.get(name), settled.settings.get(name)) for name, node in graph.nodes.items()
    }
    dts = {settings.dt for settings in settled.settings.values()}
    metadata = {key: value for key, value in graph.metadata.items() if key != "rules"}
    metadata |= {"dialect": settled.name, "repaired_by": f"neurodeploy {__version__}"}
    metadata.setdefault("exporter", f"{settled.name}'s exporter, repaired by neurodeploy {__version__}")
    if settled.delayed:
        metadata["delayed_edges"] = sorted([source, target] for source, target in settled.delayed)
    if len(dts) == 1:
        metadata["dt"] = dts.pop()
    return replace(graph, nodes=nodes, metadata=metadata, repeated=())


def write_graph(graph: NirGraph, path: Path) -> None:
    """Write a graph as a NIR file.

    Raises:
        DeployError: the file cannot be written.
    """
    import h5py
    import nir

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["version"] = nir.version
        root = file.create_group("node")
        root["type"] = "NIRGraph"
        root.create_dataset("edges", data=np.array(graph.edges, dtype=object).reshape(-1, 2), dtype=h5py.string_dtype())
        _write_metadata(root, graph.metadata, graph.foreign)
        nodes = root.create_group("nodes")
        for name, node in graph.nodes.items():
            group = nodes.create_group(name)
            group["type"] = node.kind
            for key, value in node.params.items():
                _write_value(group, key, value)
            _write_metadata(group, node.metadata, node.foreign)
    write_atomically(path, lambda target: _copy(stream, target))


def _copy(source: io.BytesIO, target: Any) -> None:
    target.write(source.getbuffer())


def _write_metadata(group: Any, ours: dict[str, Any], foreign: dict[str, Any]) -> None:
    if ours or foreign:
        _write_value(group, "metadata", {**foreign, **({METADATA_KEY: to_json(ours)} if ours else {})})


def _write_value(group: Any, key: str, value: Any) -> None:
    if isinstance(value, dict):
        inner = group.create_group(key)
        for name, item in value.items():
            _write_value(inner, name, item)
    elif value is not None:
        is_large = isinstance(value, np.ndarray) and value.ndim and value.dtype.kind != "O"
        group.create_dataset(key, data=value, **({"compression": "gzip"} if is_large else {}))


def _repaired_node(node: NirNode, shape: Shape | None, settings: Settings | None) -> NirNode:
    if node.kind in ("Input", "Output"):
        return node if shape is None else replace(node, params={**node.params, "shape": np.array(shape, np.int64)})
    if node.kind not in NEURONS or settings is None or shape is None:
        return node
    params = {k: np.asarray(v, np.float64) for k, v in node.params.items() if v is not None and not isinstance(v, dict)}
    if node.kind in FIRING and node.kind != "Threshold":
        params.setdefault("v_reset", np.zeros(()))
        if settings.v_reset is not None:
            params["v_reset"] = np.array(settings.v_reset)
            settings = replace(settings, v_reset=None)
    if (w_in := right_w_in(node, settings)) is not None:
        params["w_in"] = w_in
    elif "tau_syn" in params:
        params.setdefault("w_in", np.ones(()))
    if (r := right_r(node, settings)) is not None:
        params["r"] = r
    for key in _TAUS:
        if key in params:
            params[key] = _repaired_tau(params[key], settings)
    settings = replace(settings, tau_scale=1.0)
    spread = {key: _spread(node.kind, key, value, shape) for key, value in params.items()}
    return replace(node, params=spread, metadata={**node.metadata, "rules": _rules(settings)})


def _spread(kind: str, key: str, value: Any, shape: Shape) -> Any:
    """Return a parameter in the neurons' shape."""
    try:
        return np.broadcast_to(value, shape)
    except ValueError as error:
        raise DeployError(
            f"{key} of shape {list(np.shape(value))} cannot be spread to the neurons' shape {list(shape)}",
            where=f"a {kind} of the model",
            fix="Make the shapes the same in the file first; --fix cannot tell which is right.",
        ) from error


def _repaired_tau(tau: Any, settings: Settings) -> Any:
    """Return time constants in seconds; a negative one, which stands for no decay, as infinity."""
    return np.where(tau < 0, np.inf, tau * settings.tau_scale)


def _rules(settings: Settings) -> dict[str, Any]:
    """Return settings as the rules that metadata keep."""
    return {key: value for key, value in asdict(settings).items() if value is not None}
