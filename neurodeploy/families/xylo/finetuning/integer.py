"""A program for Xylo that runs on torch, with weights that may be tensors under training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurodeploy.errors import DeployError
from neurodeploy.families.finetuning.traces import Trace
from neurodeploy.families.xylo.finetuning.step import Weights, own_weights, run
from neurodeploy.families.xylo.layout import lay_out, matrix_of
from neurodeploy.families.xylo.population import XyloProgram


class IntegerNetwork:
    """A program that runs on torch, with weights that may be tensors under training.

    Args:
        program: the codes.
        device: where tensors live.
    """

    def __init__(self, program: XyloProgram, device: str = "cpu") -> None:
        self.program, self.device = program, torch.device(device)
        self.layout = lay_out(program.inputs, program.populations, program.projections)

    def run(
        self, inputs: Mapping[str, Tensor], weights: Mapping[int, Tensor] | None = None, biases: Any = None
    ) -> dict[str, Trace]:
        """Return all hardware rows of all populations.

        Args:
            inputs: counts from 0, ``[T, B, *shape]`` for each input; above 15 count 15.
            weights: codes to take instead of the program's, (n_out, n_in), by place of the projection.
            biases: none; biases stay as they are in the program.

        Raises:
            DeployError: an input holds values below 0.
        """
        hidden, outputs = run(self.layout.codes, self._counts(inputs), self._weights(weights or {}))
        traces = {}
        for p in self.program.populations:
            rows, place = hidden if p.role == "hidden" else outputs, self.layout.places[p.name]
            traces[p.name] = Trace(rows.fired[:, :, place], rows.v[:, :, place], rows.i[:, :, 0, place])
        return traces

    def _counts(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the chip is sent, float64 [rows, B, n_in], with steps without input behind it."""
        flat = [inputs[name].flatten(2).to(self.device, torch.float64) for name in self.layout.channels]
        counts = torch.cat(flat, dim=2)
        if bool((counts < 0).any()):
            raise DeployError(
                "the data holds values below 0, and Xylo counts spikes",
                where="--data",
                fix="Give counts from 0 to 15, or encode the data as spikes (--encode rate or latency).",
            )
        return torch.cat([counts, counts.new_zeros((self.layout.latency, *counts.shape[1:]))])

    def _weights(self, given: Mapping[int, Tensor]) -> Weights:
        """Return the chip's matrices with the weights that are given instead of the program's."""
        own = own_weights(self.layout.codes, self.device)
        matrices, places = {"in": own.into, "rec": own.recurrent, "out": own.out}, self.layout.places
        for index, codes in given.items():
            p = self.program.projections[index]
            is_input = p.source in self.layout.channels
            matrix = matrices[matrix_of(is_input, self.program.population(p.target).role)]
            source = self.layout.channels[p.source] if is_input else places[p.source]
            stored = torch.as_tensor(p.weight.astype(np.float64), device=self.device)
            matrix[source, 0, places[p.target]] += (codes - stored).T
        return Weights(*matrices.values())
