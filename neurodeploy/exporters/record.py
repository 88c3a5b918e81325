"""Run a model in its own framework and record what its neurons, and the values that are read, do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.exporters.adapter import Adapter
from neurodeploy.exporters.build_graph import BuiltGraph
from neurodeploy.exporters.by_step import assembled
from neurodeploy.exporters.convention import Convention, run_model
from neurodeploy.exporters.signals import Signal, Tap
from neurodeploy.exporters.trace import Wanted, trace_model
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import Recording

BLOCK_SAMPLES = 32
"""Samples that a framework runs at a time; it keeps the tensors of all their steps."""

Rows = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False, slots=True)
class Trained:
    """A model that its own framework runs, and the graph that was made of it.

    model: the module. adapter: of its framework. convention: how it is called. built: the graph. paths: its neuron
    modules by path.
    """

    model: Any
    adapter: Adapter
    convention: Convention
    built: BuiltGraph
    paths: dict[str, Any]

    def run(self, network: Network, inputs: NDArray[Any], record: tuple[str, ...]) -> Iterator[Rows]:
        """Give, for blocks of samples, what the framework computes: observables by node, ``[T, block, *shape]``.

        Args:
            network: the graph as it was read back.
            inputs: [T, B, *shape].
            record: which of ``spikes``, ``v`` and ``u``; ``value`` of nodes that do not fire always.
        """
        for start in range(0, inputs.shape[1], BLOCK_SAMPLES):
            x = torch.from_numpy(np.array(inputs[:, start : start + BLOCK_SAMPLES], dtype=np.float32))
            rows = self._neurons(network, x, record) if self.paths else {}
            yield rows | self._values(network, x)

    def recording(
        self, network: Network, inputs: NDArray[Any], meta: dict[str, Any], record: tuple[str, ...]
    ) -> Recording:
        """Return the whole of :meth:`run` as a recording.

        Args:
            network: as the file is read. inputs: [T, B, *shape], any dtype. meta: of the recording. record: what.
        """
        nodes: Rows = {}
        for index, rows in enumerate(self.run(network, inputs, record)):
            start = index * BLOCK_SAMPLES
            for node, observed in rows.items():
                for key, values in observed.items():
                    whole = nodes.setdefault(node, {})
                    if key not in whole:
                        whole[key] = np.empty((len(values), inputs.shape[1], *values.shape[2:]), values.dtype)
                    whole[key][:, start : start + values.shape[1]] = values
        return Recording(nodes, meta)

    def _neurons(self, network: Network, x: Any, record: tuple[str, ...]) -> Rows:
        """Return what the neurons do."""
        found: Rows = {}
        read = {(reading.node, reading.port) for reading in self.built.readout.readings}
        for path, calls in run_model(self.model, self.adapter, self.paths, self.convention, x).items():
            for node, made in _by_node(path, calls, self.built):
                rule = network.population(node).rule
                wanted = [("spikes" if rule.fires else "value", "out"), ("v", "v"), ("u", "i")]
                found[node] = {
                    key: _rows(made, field, x.shape[1])
                    for key, field in wanted
                    if (key in record or key == "value" or (node, key) in read) and getattr(made[0], field) is not None
                }
                if "spikes" in found[node]:
                    found[node]["spikes"] = found[node]["spikes"].astype(np.int32 if rule.is_graded else np.uint8)
        return found

    def _values(self, network: Network, x: Any) -> Rows:
        """Return the values that are read of nodes without neurons, seen where the model computes them."""
        built = self.built
        readings = [one for one in built.readout.readings if not one.port and one.node not in built.neurons]
        if not readings:
            return {}
        taps = {tap: _alone(tap, reading.signal) for reading in readings for tap in reading.signal.terms}
        wanted = Wanted([*(reading.signal for reading in readings), *taps.values()])
        trace_model(self.model, self.adapter, self.paths, self.convention, x, wanted)
        alone = dict(zip(taps, wanted.seen[len(readings) :], strict=True))
        found: Rows = {}
        for reading, seen in zip(readings, wanted.seen, strict=False):
            steps = {step for _, step, _ in seen}
            if None not in steps and len(steps) < len(x):  # factors came after the steps were added up
                terms = ((assembled(alone[tap], len(x)).numpy(), own) for tap, own in reading.signal.terms.items())
                value = sum((rows * own for rows, own in terms), start=reading.signal.offset)
            else:
                value = assembled(seen, len(x)).numpy()
            shape = (*x.shape[:2], *network.shapes[reading.node])
            found[reading.node] = {"value": np.ascontiguousarray(value, dtype=np.float32).reshape(shape)}
        return found


def _alone(tap: Tap, signal: Signal) -> Signal:
    return replace(signal, terms={tap: 1.0}, offset=0.0)


def _by_node(path: str, calls: list[Any], built: BuiltGraph) -> Iterator[tuple[str, list[Any]]]:
    """Give a module's calls by the node that each belongs to."""
    order = built.order.get(path, [])
    for node in dict.fromkeys(order):
        if node in built.neurons:
            pattern = _extended(order, len(calls))
            yield node, [call for call, owner in zip(calls, pattern, strict=True) if owner == node]


def _extended(order: list[str], count: int) -> list[str]:
    """Return which node each of ``count`` calls belongs to, from their order in a run of fewer steps."""
    nodes = list(dict.fromkeys(order))
    if len(nodes) == 1:
        return nodes * count
    if order[: len(nodes)] == nodes:  # in turn, step after step
        return [nodes[index % len(nodes)] for index in range(count)]
    return [nodes[index * len(nodes) // count] for index in range(count)]


def _rows(calls: list[Any], field: str, n_samples: int) -> NDArray[Any]:
    """Return one tensor of each call as one array [T, B, *shape]."""
    tensors = [getattr(call, field).detach() for call in calls]
    match calls[0].lead:
        case "B":
            rows = torch.stack(tensors)
        case "TB":
            rows = tensors[0]
        case "BT":
            rows = tensors[0].transpose(0, 1)
        case "t":
            rows = tensors[0].unflatten(0, (-1, n_samples))
        case _:
            rows = tensors[0].unflatten(0, (n_samples, -1)).transpose(0, 1)
    return np.ascontiguousarray(rows.numpy(), dtype=np.float32)
