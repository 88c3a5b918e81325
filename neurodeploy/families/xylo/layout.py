"""Lay populations and their synapses out on a chip, and read each population's rows from a run.

All hidden populations lie one after the other in the chip's one hidden layer, so that synapses between them are
recurrent weights, whatever their depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.codes import NO_ALIAS, XyloCodes, XyloNeurons, XyloRun
from neurodeploy.families.xylo.population import REGISTERS, XyloPopulation
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.synapses import Shape

MATRICES = ("in", "rec", "out")
"""The chip's three matrices of weights: from the inputs, among the hidden neurons, and to the outputs."""


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """A configuration, and the places of the network's parts in it.

    codes: all registers.
    channels: input channels of each input, by name.
    places: neurons of each population, by name; within the hidden layer or within the outputs.
    populations: in their order on the chip.
    """

    codes: XyloCodes
    channels: dict[str, slice]
    places: dict[str, slice]
    populations: tuple[XyloPopulation, ...]

    @property
    def latency(self) -> int:
        """Steps that the last population's rows come late."""
        return max((population.latency for population in self.populations), default=0)

    def counts(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Return what the chip is sent, int64 [T + latency, B, n_in], from inputs ``[T, B, *shape]`` by name.

        Steps without input follow, in which the last rows come out.
        """
        flat = [np.asarray(inputs[name]).reshape(*inputs[name].shape[:2], -1) for name in self.channels]
        rows = np.concatenate(flat, axis=2)
        return np.concatenate([rows, np.zeros((self.latency, *rows.shape[1:]), rows.dtype)]).astype(np.int64)

    def states(self, run: XyloRun, name: str) -> dict[str, NDArray[Any]]:
        """Return a population's ``spikes``, ``i`` and ``v`` after each hardware step, each [rows, B, n]."""
        hidden, place = self._population(name).role == "hidden", self.places[name]
        found: dict[str, NDArray[Any]] = {
            "spikes": run.spikes if hidden else run.spikes_out,
            "i": (run.i if hidden else run.i_out)[:, :, 0],
            "v": run.v if hidden else run.v_out,
        }
        return {key: values[:, :, place] for key, values in found.items()}

    def rows(self, run: XyloRun, name: str) -> dict[str, NDArray[Any]]:
        """Return a population's rows in the model's time: ``spikes``, ``i`` and ``v``, each [T, B, *shape]."""
        population, n_rows = self._population(name), len(run.spikes) - self.latency
        first = population.latency
        return {
            key: values[first : first + n_rows].reshape(n_rows, -1, *population.shape)
            for key, values in self.states(run, name).items()
        }

    def _population(self, name: str) -> XyloPopulation:
        return next(p for p in self.populations if p.name == name)


def lay_out(
    inputs: dict[str, Shape], populations: Iterable[XyloPopulation], projections: Iterable[CodedProjection]
) -> Layout:
    """Return the configuration of a network.

    Args:
        inputs: shape of each input, by name.
        populations: the coded populations; hidden ones come in order of their latency, those that are equal in theirs.
        projections: dense synapses between them.

    Raises:
        ValueError: projections of one matrix have different shifts, or end where the chip has no synapses.
    """
    given, coded = tuple(populations), tuple(projections)
    hidden = sorted((p for p in given if p.role == "hidden"), key=lambda p: p.latency)
    outputs = [p for p in given if p.role == "output"]
    channels = _places({name: prod(shape) for name, shape in inputs.items()})
    of_hidden, of_outputs = _places({p.name: p.size for p in hidden}), _places({p.name: p.size for p in outputs})
    sizes = {"in": (channels, of_hidden), "rec": (of_hidden, of_hidden), "out": (of_hidden, of_outputs)}
    made = {matrix: _matrix(matrix, coded, *ends) for matrix, ends in sizes.items()}
    (w_in, shift_in), (w_rec, shift_rec), (w_out, shift_out) = (made[matrix] for matrix in MATRICES)
    alias = np.full(sum(p.size for p in hidden), NO_ALIAS)
    codes = XyloCodes(w_in, w_rec, w_out, shift_in, shift_rec, shift_out, _neurons(hidden), _neurons(outputs), alias)
    if stray := [p.name for p in coded if not any(_joins(p, *ends) for ends in sizes.values())]:
        raise ValueError(f"Xylo has no synapses for {', '.join(stray)}")
    return Layout(codes, channels, of_hidden | of_outputs, (*hidden, *outputs))


def matrix_of(source_is_input: bool, role: str) -> str:
    """Return in which of :data:`MATRICES` synapses lie, from their source and their target's role."""
    return "in" if source_is_input else "rec" if role == "hidden" else "out"


def _places(sizes: dict[str, int]) -> dict[str, slice]:
    ends = np.cumsum(list(sizes.values()), dtype=int).tolist()
    return {name: slice(end - n, end) for (name, n), end in zip(sizes.items(), ends, strict=True)}


def _joins(projection: CodedProjection, sources: dict[str, slice], targets: dict[str, slice]) -> bool:
    return projection.source in sources and projection.target in targets


def _matrix(
    matrix: str, projections: tuple[CodedProjection, ...], sources: dict[str, slice], targets: dict[str, slice]
) -> tuple[NDArray[np.int64], int]:
    """Return one of the chip's matrices, int64 (n_sources, 1, n_targets), and its shift."""
    inside = [p for p in projections if _joins(p, sources, targets)]
    n_in, n_out = (max((place.stop for place in places.values()), default=0) for places in (sources, targets))
    weight = np.zeros((n_in, 1, n_out), np.int64)
    for p in inside:
        weight[sources[p.source], 0, targets[p.target]] += p.weight.T
    shifts = {p.exponent for p in inside} or {0}
    if len(shifts) > 1:
        raise ValueError(f"matrix {matrix!r} has one shift, but its projections have {sorted(shifts)}")
    return weight, shifts.pop()


def _neurons(populations: list[XyloPopulation]) -> XyloNeurons:
    def joined(key: str) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *(getattr(p, key) for p in populations)])

    dash_syn, dash_mem, threshold, bias = (joined(key) for key in REGISTERS)
    return XyloNeurons(dash_syn[np.newaxis], dash_mem, threshold, bias)
