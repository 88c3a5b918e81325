"""Latent values that are trained: for each weight and bias of the model a number between the codes of the chip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.families.finetuning.surrogates import rounded, signed
from neurodeploy.families.finetuning.weights import Floats, with_values
from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.initial import initial_codes
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.network import Network


@dataclass(frozen=True, slots=True)
class Levels:
    """Codes that a weight may have: multiples of ``step`` from ``low`` to ``high``, or only the two ends."""

    step: int
    low: int
    high: int
    only_ends: bool = False

    @property
    def spacing(self) -> int:
        """The distance between neighbours."""
        return self.high - self.low if self.only_ends else self.step

    @property
    def size(self) -> int:
        """The largest code, by which latent weights are divided."""
        return max(self.high, -self.low)


@dataclass(frozen=True, eq=False, slots=True)
class Use:
    """Where a weight's codes go: which place in it each stored weight of a projection has."""

    projection: int
    index: Tensor
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class LatentWeight:
    """Weights of one node of the model.

    latent: float64, flat; code / ``levels.size`` before rounding. factor: codes per unit of each weight, 0 where it has
    no part in any projection. original: the float weights, flat.
    """

    node: str
    latent: torch.nn.Parameter
    factor: Floats
    original: Floats
    levels: Levels
    uses: list[Use] = field(default_factory=list)

    def codes(self) -> Tensor:
        """Return the codes, float64, flat."""
        levels = self.levels
        if levels.only_ends:
            return signed(self.latent, float(levels.size))
        return rounded(self.latent * levels.size, levels.step, levels.low, levels.high)

    def values(self) -> Floats:
        """Return the float weights that the codes stand for, flat."""
        codes = self.codes().detach().cpu().numpy().astype(np.float64)
        return np.divide(codes, self.factor, out=self.original.copy(), where=self.factor != 0)

    def clamp_(self) -> None:
        """Bring latent weights back to where codes are."""
        size = self.levels.size
        with torch.no_grad():
            self.latent.clamp_(self.levels.low / size, self.levels.high / size)


@dataclass(frozen=True, eq=False, slots=True)
class LatentBias:
    """The bias of one node of the model, which reaches the neurons of one population.

    latent: float64, in thresholds. base: V of each neuron's bias that do not come from the node, and factor: V for each
    unit of its bias, float64 (n,). index: which bias each neuron has. unit: register units of 1 V, float64 (n,).
    level: V of the threshold. most: largest mantissa that the target holds.
    zero, one: the population in the chip's form with a synaptic bias of 0 and of 1 V.
    """

    node: str
    latent: torch.nn.Parameter
    coded: LoihiPopulation
    unit: Floats
    level: float
    base: Floats
    factor: Floats
    index: NDArray[np.int64]
    most: int
    zero: AffineNeuron
    one: AffineNeuron

    def registers(self) -> tuple[Tensor, tuple[Any, Any]]:
        """Return the effective bias in register units, with the initial u and v that go with it."""
        coded, device = self.coded, self.latent.device
        unit = torch.as_tensor(self.factor * self.unit * self.level, device=device)
        base = torch.as_tensor(self.base * self.unit, device=device)
        smooth = self.latent[torch.as_tensor(self.index, device=device)] * unit + base
        step, most = 2.0**coded.bias_exponent, float(self.most << coded.bias_exponent)
        bias = rounded(rounded(smooth, 1.0, -most, most), step, -most, most)
        return bias, self._initial(bias.detach().cpu().numpy().astype(np.int64))

    def codes(self) -> NDArray[np.int64]:
        """Return the effective bias in register units, int64 (n,)."""
        return self.registers()[0].detach().cpu().numpy().astype(np.int64)

    def values(self) -> Floats:
        """Return the float bias as the model's file has it: what was trained, which the codes are nearest to."""
        values: Floats = (self.latent.detach().cpu().numpy() * self.level).astype(np.float32)
        return values

    def _initial(self, bias: NDArray[np.int64]) -> tuple[Any, Any]:
        coded = self.coded
        volts = self.values().astype(np.float64)[self.index]
        goal_u = self.zero.u_init + (self.one.u_init - self.zero.u_init) * volts
        goal = tuple(np.rint(goal * self.unit).astype(np.int64) for goal in (goal_u, self.zero.v_init))
        codes = (coded.du, coded.dv, coded.threshold_code, bias)
        du, dv, threshold, bias = (np.asarray(code, np.int64) for code in codes)
        v_min = None if coded.v_min is None else coded.v_min.astype(np.int64)
        initial = initial_codes(du, dv, threshold, bias, (goal[0], goal[1]), coded.latency, v_min)
        return initial.u, initial.v


@dataclass(frozen=True, eq=False, slots=True)
class Latents:
    """All that is trained, and the names of weighted nodes that are not."""

    weights: tuple[LatentWeight, ...]
    biases: tuple[LatentBias, ...]
    fixed: tuple[str, ...]

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield every latent tensor, in a fixed order."""
        yield from (weight.latent for weight in self.weights)
        yield from (bias.latent for bias in self.biases)

    def step_scales(self) -> Iterator[tuple[torch.nn.Parameter, float]]:
        """Yield every latent tensor with what its learning rate is multiplied by: the finer the codes, the smaller."""
        scales = [math.sqrt(weight.levels.spacing / weight.levels.size) for weight in self.weights]
        yield from zip((weight.latent for weight in self.weights), scales, strict=True)
        yield from ((bias.latent, min(scales)) for bias in self.biases)

    def codes(self) -> dict[int, Tensor]:
        """Return weight codes by place of the projection."""
        found = {}
        for weight in self.weights:
            codes = weight.codes()
            for use in weight.uses:
                found[use.projection] = codes[use.index].reshape(use.shape)
        return found

    def registers(self) -> dict[str, tuple[Tensor, tuple[Any, Any]]]:
        """Return biases with their initial codes, by population."""
        return {bias.coded.name: bias.registers() for bias in self.biases}

    def clamp_(self) -> None:
        """Bring latent weights back to where codes are."""
        for weight in self.weights:
            weight.clamp_()

    def tuned(self, network: Network) -> Network:
        """Return the network with the weights that the codes stand for, and the biases."""
        weights = {weight.node: weight.values() for weight in self.weights}
        return with_values(network, weights, {bias.node: bias.values() for bias in self.biases})

    def program(self, program: LoihiProgram) -> LoihiProgram:
        """Return the program with the codes as they are now."""
        codes, registers = self.codes(), self.registers()
        projections = tuple(
            replace(p, weight=codes[i].detach().cpu().numpy().astype(np.int16)) if i in codes else p
            for i, p in enumerate(program.projections)
        )
        populations = tuple(
            _with_bias(p, *registers[p.name]) if p.name in registers else p for p in program.populations
        )
        return replace(program, populations=populations, projections=projections)


def _with_bias(population: LoihiPopulation, bias: Tensor, initial: tuple[Any, Any]) -> LoihiPopulation:
    mantissa = bias.detach().cpu().numpy().astype(np.int64) >> population.bias_exponent
    return replace(population, bias_mantissa=mantissa, u_init=initial[0], v_init=initial[1])
