"""The first layers on the host, in float: they take real values, and their spikes enter the chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Shape, Sparse

if TYPE_CHECKING:
    from neurodeploy.ir.program import Program

OPERATIONS = {cls.__name__: cls for cls in (Linear, Sparse, Conv1d, Conv2d, Pool2d, MaxPool2d, Flatten, Scale)}

Arrays = dict[str, NDArray[Any]]


def split(network: Network, n_layers: int | str) -> tuple[Network, Network]:
    """Return the part of a network that the host runs, and the chip's, whose inputs are the spikes of the former.

    Args:
        network: the whole.
        n_layers: how many populations the host runs, from the first on; ``auto`` for those that an input reaches
            directly. What feeds these runs there, too.

    Raises:
        DeployError: there are not so many, or an output would be on the host.
    """
    names = [population.name for population in network.populations]
    if n_layers == "auto":
        chosen = {p.target for p in network.projections if p.source in network.inputs}
    elif isinstance(n_layers, int) and 1 <= n_layers < len(names):
        chosen = set(names[:n_layers])
    else:
        raise DeployError(
            f"--host is {n_layers}, but the network has {len(names)} layers that spike or are read, and the last has"
            " to run on the chip",
            where="--host",
            fix=f"Give a number from 1 to {len(names) - 1}, or auto for the layers that an input reaches directly.",
        )
    while more := {p.source for p in network.projections if p.target in chosen} - chosen - set(network.inputs):
        chosen |= more
    if lost := [name for name in network.outputs if name in chosen]:
        raise DeployError(
            f"output {known(lost)} would run on the host, so the chip would have nothing left to decide",
            where="--host",
            fix=f"Run fewer layers on the host; the network has the layers {', '.join(names)}.",
        )
    own = tuple(p for p in network.projections if p.target in chosen)
    rest = tuple(p for p in network.projections if p.target not in chosen)
    sending = tuple(name for name in names if name in chosen and any(p.source == name for p in rest))
    shapes = network.shapes
    entering = (*(name for name in network.inputs if any(p.source == name for p in rest)), *sending)
    first = tuple(p for p in network.populations if p.name in chosen)
    last = tuple(p for p in network.populations if p.name not in chosen)
    host = replace(network, populations=first, projections=own, outputs=sending, decision=None, readouts=())
    inputs = {name: shapes[name] for name in entering}
    return host, replace(network, inputs=inputs, populations=last, projections=rest)


def data_inputs(subject: Network | Program) -> dict[str, Shape]:
    """Return the shapes of the inputs that data has to hold: the model's, also where the host runs its first layers."""
    host = getattr(subject, "host", None)
    return subject.inputs if host is None else host.inputs


def takes_counts(subject: Network | Program) -> bool:
    """Tell whether a model's input can be other than spikes of 0 and 1: a network's, the host's, or a graded one."""
    graded = getattr(subject, "message_bits", None)
    return graded is None or getattr(subject, "host", None) is not None or bool(set(graded) & set(subject.inputs))


def entering(host: Network, chip_inputs: dict[str, Shape], inputs: Arrays, run: Callable[..., Recording]) -> Arrays:
    """Return what enters the chip for a model's inputs: the spikes of the host's layers, and inputs that go there.

    Inputs that are the chip's already come back as they are.

    Args:
        host: the layers that run on the host.
        chip_inputs: shapes of the chip's inputs, by name.
        inputs: of the model, ``[T, B, *shape]`` by name.
        run: runs a network in float, given the network, inputs and :class:`RunOptions`.
    """
    if set(inputs) != set(host.inputs):
        return inputs
    recording = run(host, inputs, RunOptions(nodes=host.outputs))
    return {name: inputs[name] if name in inputs else recording.spikes(name).copy() for name in chip_inputs}


def sentence(host: Network) -> str:
    """Return what the host does."""
    operations = sum(
        prod(op.output_shape(shape)) * _fan_in(op) for p in host.projections for op, shape in _with_shapes(host, p)
    )
    return (
        f"the host runs {known(population.name for population in host.populations)} in float, {operations:,} products a"
        f" step; spikes of {known(host.outputs)} enter the chip, and no energy of the host is counted"
    )


def to_arrays(host: Network) -> tuple[dict[str, Any], Arrays]:
    """Return a network as JSON-ready structure and arrays, as program files hold it."""
    arrays: Arrays = {}
    populations, projections = [], []
    for population in host.populations:
        entry = {"name": population.name, "rule": asdict(population.rule), "shape": list(population.shape)}
        populations.append(entry | _stored(population, f"host/{population.name}", arrays, set(entry)))
    for index, p in enumerate(host.projections):
        ops = [
            {"kind": type(op).__name__, **_stored(op, f"host/{index}.{place}", arrays, set())}
            for place, op in enumerate(p.ops)
        ]
        projections.append({"source": p.source, "target": p.target, "delay": p.delay, "ops": ops})
    head = {"inputs": {k: list(v) for k, v in host.inputs.items()}, "outputs": list(host.outputs), "dt": host.dt}
    return {**head, "dialect": host.dialect, "populations": populations, "projections": projections}, arrays


def from_arrays(structure: dict[str, Any], arrays: Arrays) -> Network:
    """Return the network of :func:`to_arrays`."""
    populations = []
    for entry in structure["populations"]:
        given = {**entry, "rule": NeuronRule(**entry["rule"]), "shape": tuple(entry["shape"])}
        populations.append(Population(**given, **_found(f"host/{entry['name']}", arrays)))
    projections = []
    for index, entry in enumerate(structure["projections"]):
        ops = []
        for place, op in enumerate(entry["ops"]):
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in op.items()}
            kind: Any = OPERATIONS[plain.pop("kind")]
            ops.append(kind(**plain, **_found(f"host/{index}.{place}", arrays)))
        projections.append(Projection(entry["source"], entry["target"], tuple(ops), entry["delay"]))
    inputs = {name: tuple(shape) for name, shape in structure["inputs"].items()}
    outputs = tuple(structure["outputs"])
    return Network(inputs, tuple(populations), tuple(projections), outputs, structure["dt"], structure["dialect"])


def _stored(part: Any, prefix: str, arrays: Arrays, done: set[str]) -> dict[str, Any]:
    """Return a dataclass's plain fields, and add its arrays, a sparse matrix in three and its shape."""
    plain = {}
    for key in (field.name for field in fields(part)):
        value = getattr(part, key)
        if key in done or value is None:
            continue
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}/{key}"] = value
        elif hasattr(value, "indptr"):
            arrays[f"{prefix}/{key}.shape"] = np.asarray(value.shape)
            arrays |= {f"{prefix}/{key}.{one}": getattr(value, one) for one in ("data", "indices", "indptr")}
        else:
            plain[key] = list(value) if isinstance(value, tuple) else value
    return plain


def _found(prefix: str, arrays: Arrays) -> dict[str, Any]:
    own: dict[str, Any] = {
        name.removeprefix(f"{prefix}/"): array for name, array in arrays.items() if name.startswith(f"{prefix}/")
    }
    if "weight.indptr" in own:
        from scipy.sparse import csc_array

        data, indices, indptr, shape = (own.pop(f"weight.{key}") for key in ("data", "indices", "indptr", "shape"))
        own["weight"] = csc_array((data, indices, indptr), shape=tuple(shape))
    return own


def _with_shapes(host: Network, projection: Projection) -> list[tuple[Any, Shape]]:
    shape, found = host.shapes[projection.source], []
    for op in projection.ops:
        found.append((op, shape))
        shape = op.output_shape(shape)
    return found


def _fan_in(op: Any) -> int:
    """Return products for each output of an operation."""
    match op:
        case Linear():
            return int(op.weight.shape[1])
        case Sparse():
            return max(1, int(op.weight.nnz) // max(op.weight.shape[0], 1))
        case Conv1d() | Conv2d():
            return int(op.weight[0].size)
        case Pool2d():
            return prod(op.kernel)
    return 0
