"""The activity of the float model on calibration data, for quantisation to match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs
from neurodeploy.passes.schedule import acts_after

FEWEST_SPIKES = 20
"""Spikes of a population on calibration data below which rates are chance: nothing is corrected by them."""


@dataclass(frozen=True, eq=False, slots=True)
class Calibration:
    """Calibration data, and what the float model sends on it.

    network: as it is compiled, which may approximate the one that was recorded. inputs: ``[T, B, *shape]`` by input.
    labels: int64 (B,), or None. recording: of the reference, all populations. run: the reference.
    """

    network: Network
    inputs: Inputs
    labels: NDArray[np.int64] | None
    recording: Recording
    run: Callable[[Network, Inputs], Recording]

    def of(self, network: Network, inputs: Inputs | None = None) -> Calibration:
        """Return what another network does on the same data, or on inputs in its place."""
        inputs = self.inputs if inputs is None else inputs
        return Calibration(network, inputs, self.labels, self.run(network, inputs), self.run)

    def spikes(self, name: str) -> int | None:
        """Return how often the float model's population fires; None for an integrator."""
        sent = self.recording.nodes[name].get("spikes")
        return None if sent is None else int(np.abs(sent.astype(np.int64)).sum())

    def rates(self) -> dict[str, float]:
        """Return the share of values other than 0 of each input."""
        return {name: np.count_nonzero(values) / max(values.size, 1) for name, values in self.inputs.items()}

    def arriving(self, projection: Projection, input_scale: float | None) -> NDArray[Any]:
        """Return a source's spikes ``[T, B, *shape]`` in the rows in which they act; of any dtype."""
        if projection.source in self.inputs:
            values = self.inputs[projection.source]
            if input_scale is not None:
                values = np.rint(values * input_scale).astype(np.int32)
        else:
            values = self.recording.spikes(projection.source)
            rule = self.network.population(projection.source).rule
            if not rule.is_graded:  # counts of the model as it was trained, where its neurons are approximated
                values = (values != 0).astype(np.uint8)
        if (after := acts_after(projection, self.network)) == 0:
            return values
        late = np.zeros_like(values)
        late[after:] = values[:-after]
        return late


def correction_sentences(calibration: Calibration, factors: dict[str, float], asked: bool) -> list[str]:
    """Return what calibration data changed of thresholds, and where it holds too few spikes for that.

    Args:
        calibration: the data, and what the float model does on it.
        factors: by what each population's thresholds were multiplied.
        asked: whether corrections were asked for.
    """
    found, counts = [], {name: calibration.spikes(name) for name in factors}
    few = [f"{name} ({n} spikes)" for name, n in counts.items() if n is not None and n < FEWEST_SPIKES]
    if few and asked:
        found.append(
            f"the float model hardly fires on calibration data in {', '.join(few)}: thresholds and biases there are"
            " left as rounded; give --calibrate data like that which the network is to run on"
        )
    if moved := [f"{name} times {factor:.3g}" for name, factor in factors.items() if factor != 1]:
        found.append(
            f"thresholds were changed so that firing rates on calibration data are met: {', '.join(moved)} (--correct"
            " bias leaves them as rounded)"
        )
    return found
