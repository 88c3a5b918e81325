"""Latent values that are trained: for each weight of the model a number between the codes of the chip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.families.finetuning.surrogates import rounded
from neurodeploy.families.finetuning.weights import Floats, with_values
from neurodeploy.families.xylo.codes import WEIGHT_RANGE
from neurodeploy.families.xylo.population import XyloProgram
from neurodeploy.ir.network import Network

SIZE = -WEIGHT_RANGE[0]
"""The largest code, by which latent weights are divided."""


@dataclass(frozen=True, eq=False, slots=True)
class Use:
    """Where a node's weights go: into the dense matrix of a projection.

    projection: its place in the program. shape: (n_out, n_in).
    index: int64, flat, which weight each code is made of; the number of weights where there is no synapse.
    factor: float64, flat, codes per unit of the weight.
    """

    projection: int
    shape: tuple[int, ...]
    index: NDArray[np.int64]
    factor: Floats


@dataclass(frozen=True, eq=False, slots=True)
class LatentWeight:
    """Weights of one node of the model.

    latent: float64, flat; the largest code that a weight becomes, before rounding, divided by ``SIZE``.
    factor: that code per unit of each weight, 0 where it becomes none. original: the float weights, flat.
    largest: size of the largest code at the start, at least 1.
    """

    node: str
    latent: torch.nn.Parameter
    factor: Floats
    original: Floats
    uses: tuple[Use, ...]
    largest: float = float(SIZE)

    def weights(self) -> Tensor:
        """Return the float weights as a model's file has them, float64, flat; straight through backward."""
        unit = np.divide(SIZE, self.factor, out=np.zeros_like(self.factor), where=self.factor != 0)
        smooth = self.latent * torch.as_tensor(unit, device=self.latent.device)
        found: Tensor = smooth.float().double()
        return found

    def codes(self, use: Use) -> Tensor:
        """Return the codes of one use, float64 (n_out, n_in), rounded as the compiler rounds them."""
        weights = self.weights()
        index, factor = (torch.as_tensor(values, device=weights.device) for values in (use.index, use.factor))
        scaled = torch.cat([weights, weights.new_zeros(1)])[index] * factor
        return rounded(scaled, 1.0, *WEIGHT_RANGE).reshape(use.shape)

    def values(self) -> Floats:
        """Return the float weights that the codes stand for, flat.

        A weight that becomes several codes in different units stands for no single one of them; it stays as trained.
        """
        trained: Floats = self.weights().detach().cpu().numpy()
        found = np.where(self.factor != 0, trained, self.original)
        for use in self.uses:
            codes, there = self.codes(use).detach().cpu().numpy().ravel(), use.factor != 0
            index = use.index[there]
            if (np.abs(use.factor[there]) == self.factor[index]).all() and len(self.uses) == 1:
                found[index] = codes[there] / use.factor[there]
        return found

    def clamp_(self) -> None:
        """Bring latent weights back to where codes are."""
        with torch.no_grad():
            self.latent.clamp_(-1.0, 1.0)


@dataclass(frozen=True, eq=False, slots=True)
class Latents:
    """All that is trained, and the names of weighted nodes that are not."""

    weights: tuple[LatentWeight, ...]
    fixed: tuple[str, ...]

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield every latent tensor, in a fixed order."""
        yield from (weight.latent for weight in self.weights)

    def step_scales(self) -> Iterator[tuple[torch.nn.Parameter, float]]:
        """Yield every latent tensor with what its learning rate is multiplied by: the finer the codes, the smaller.

        It is as for codes that end at the largest one of the start, which a plan's scales may leave far below ``SIZE``.
        """
        yield from ((weight.latent, math.sqrt(weight.largest) / SIZE) for weight in self.weights)

    def codes(self) -> dict[int, Tensor]:
        """Return weight codes by place of the projection."""
        return {use.projection: weight.codes(use) for weight in self.weights for use in weight.uses}

    def registers(self) -> dict[str, Any]:
        """Return biases that are trained: none."""
        return {}

    def clamp_(self) -> None:
        """Bring latent weights back to where codes are."""
        for weight in self.weights:
            weight.clamp_()

    def tuned(self, network: Network) -> Network:
        """Return the network with the weights that the codes stand for."""
        return with_values(network, {weight.node: weight.values() for weight in self.weights})

    def program(self, program: XyloProgram) -> XyloProgram:
        """Return the program with the codes as they are now."""
        codes = self.codes()
        projections = tuple(
            replace(p, weight=codes[i].detach().cpu().numpy().astype(np.int16)) if i in codes else p
            for i, p in enumerate(program.projections)
        )
        return replace(program, projections=projections)
