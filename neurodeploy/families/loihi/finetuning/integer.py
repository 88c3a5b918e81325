"""The emulator's integer arithmetic in torch: equal spikes, currents and potentials, with gradients behind them.

:mod:`neurodeploy.families.loihi.definition` defines what is computed. Registers are float64 tensors that hold whole
numbers, for which all that happens to them is exact; spikes are float32, and so are the products of weights and spikes
as long as no sum can reach 2**24. A population that is not in a loop receives all its rows in one product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from neurodeploy.families.finetuning.surrogates import spikes, truncate
from neurodeploy.families.finetuning.traces import Trace
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT, Arithmetic, find_arithmetic
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.finetuning.gradients import to_int32, wrap
from neurodeploy.families.loihi.finetuning.products import Synapses
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.order import components

ALIGN = float(1 << ALIGN_BITS)
"""Register units of a weight unit."""

INT32_SAFE = 2.0 ** (31 - ALIGN_BITS) - 2.0 ** (24 - ALIGN_BITS)
"""Input in weight units below which neither it nor the current leaves an int32 register."""


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What is computed here of all that programs can need, see :mod:`neurodeploy.ir.needs`; the host has run before."""


@dataclass(frozen=True, slots=True)
class Registers:
    """What a population carries from step to step; float64 ``[B, n]``, ``fired`` float32."""

    u: Tensor
    v: Tensor
    fired: Tensor
    hold: Tensor
    b: Tensor
    second: Tensor


class Neurons:
    """A coded population that steps on torch.

    Args:
        population: the codes.
        arithmetic: how u wraps.
        device: where tensors live.
    """

    def __init__(self, population: LoihiPopulation, arithmetic: Arithmetic, device: torch.device) -> None:
        self.population, self.model, self.arithmetic, self.device = population, population.model, arithmetic, device

        def keeps(codes: Any, more: int = 0) -> Tensor:
            return self._tensor((2**DECAY_BITS - (codes.astype(np.int64) + more)) / 2**DECAY_BITS)

        self.keep_u, self.keep_v = keeps(population.du, 1), keeps(population.dv)
        self.has_current = bool((population.du < 2**DECAY_BITS - 1).any() or population.u_init.any())
        self.threshold = self._tensor(population.threshold_code) * ALIGN
        self.meets = population.model.spike == ">="
        low, v_min = population.threshold_low_code, population.v_min
        self.low = None if low is None else self._tensor(low) * ALIGN
        self.v_min = None if v_min is None else self._tensor(v_min)
        self.keep_b = None if population.adapt_decay is None else keeps(population.adapt_decay)
        self.keep_second = None if population.du_second is None else keeps(population.du_second, 1)
        self.rise = None if population.adapt_step is None else self._tensor(population.adapt_step)
        self.bias = self._tensor(population.bias_mantissa) * 2**population.bias_exponent
        self.most = self.model.max_spikes or STATE_LIMIT

    def init(self, n_samples: int, bias: Tensor | None, initial: tuple[Any, Any] | None) -> Registers:
        """Return the registers before the first hardware step, with initial codes other than the program's if given.

        Args:
            n_samples: samples of the batch.
            bias: float64 (n,), register units, in place of the program's from here on, or None.
            initial: codes of u and of v, (n,) each, or None.
        """
        if bias is not None:
            self.bias = bias
        u, v = initial or (self.population.u_init, self.population.v_init)
        zeros = torch.zeros((n_samples, self.population.size), dtype=torch.float64, device=self.device)
        return Registers(zeros + self._tensor(u), zeros + self._tensor(v), zeros.float(), zeros, zeros, zeros)

    def step(self, state: Registers, a: Tensor, row: int, *, is_safe: bool) -> Registers:
        """Return the registers after one step.

        Args:
            state: the registers before.
            a: input in weight units, float64 ``[B, n]``.
            row: hardware row, from 0.
            is_safe: no current can leave its register.
        """
        model, fired = self.model, state.fired.detach()
        u, v, second = state.u, state.v, state.second
        if model.reset_interval and (row + 1) % model.reset_interval == model.reset_offset:
            u, v, second = (torch.zeros_like(u) for _ in range(3))
        raises = self.keep_b is not None and model.adapts == "threshold"
        threshold = self.threshold + state.b if raises else self.threshold
        owed = fired
        if model.reset == "subtract-pending":
            owed = spikes(v.detach(), threshold.detach(), None, self.most, self.meets)
        u = self._current(u, a, is_safe)
        v = truncate(v * self.keep_v) + u + self.bias
        if self.keep_second is not None:
            drive = to_int32(to_int32(a) * ALIGN)
            second = wrap(to_int32(truncate(second * self.keep_second) - drive), self.arithmetic)
            v = v + second
        if model.adapts == "v":
            v = v - state.b
        if model.reset in ("subtract-late", "subtract-pending"):
            v = v - owed * self.threshold
        v = v.clamp(1 - STATE_LIMIT, STATE_LIMIT - 1)
        if model.reset == "zero-late":
            v = v.masked_fill(fired != 0, 0.0)
        if model.refractory:
            v = v.masked_fill(state.hold > 0, 0.0)
        sent = spikes(v, threshold, self.low, self.most, self.meets)
        settled = self._settled(v, sent.detach(), threshold)
        if model.reset == "subtract-pending":
            settled = (v - (sent.detach() - owed) * self.threshold).clamp(max=STATE_LIMIT - 1)
            settled = settled if self.v_min is None else torch.maximum(settled, self.v_min)
        if model.clears_u:
            due = sent.detach() if model.clears_u == "now" else fired
            u, second = (one.masked_fill(due != 0, 0.0) for one in (u, second))
        return Registers(u, settled, sent, *self._slow(state, sent), second)

    def _current(self, u: Tensor, a: Tensor, is_safe: bool) -> Tensor:
        """Return the current after decay and input."""
        if is_safe:
            drive = a * ALIGN
            return truncate(u * self.keep_u) + drive if self.has_current else drive
        drive = to_int32(to_int32(a) * ALIGN)
        return wrap(to_int32(truncate(u * self.keep_u) + drive), self.arithmetic)

    def _settled(self, v: Tensor, sent: Tensor, threshold: Tensor) -> Tensor:
        """Return v after a reset in this step; resets have no gradient."""
        if self.model.reset == "zero":
            v = v.masked_fill(sent != 0, 0.0)
        elif self.model.reset == "subtract":
            v = v - sent * threshold.detach()
        return v if self.v_min is None else torch.maximum(v, self.v_min)

    def _slow(self, state: Registers, sent: Tensor) -> tuple[Tensor, Tensor]:
        """Return for how long v is still held, and by how much the threshold is raised."""
        hold, b = state.hold, state.b
        if self.model.refractory:
            hold = torch.where(sent.detach() != 0, float(self.model.refractory), (hold - 1).clamp(min=0))
        if self.keep_b is not None and self.rise is not None:
            b = (truncate(b * self.keep_b) + sent * self.rise).clamp(max=STATE_LIMIT - 1)
        return hold, b

    def is_safe(self, most: float) -> bool:
        """Tell whether no current can leave its register if each step's input is at most ``most`` weight units."""
        lost = 1.0 - float(self.keep_u.max()) if self.has_current else 1.0
        start = float(np.abs(self.population.u_init).max(initial=0))
        return lost > 0 and most < INT32_SAFE and start + most * ALIGN / lost < STATE_LIMIT

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float64), device=self.device)


class IntegerNetwork:
    """A program that runs on torch, with weights and biases that may be tensors under training.

    Args:
        program: the codes.
        arithmetic: name of the arithmetic, or None for the program's own.
        device: where tensors live.

    Raises:
        LackingError: the program has neurons or synapses of other kinds.
    """

    def __init__(self, program: LoihiProgram, arithmetic: str | None = None, device: str = "cpu") -> None:
        refuse_missing(program.parts, CAN, "fine-tuning")
        chosen = find_arithmetic(arithmetic or program.arithmetic)
        self.program, self.device = program, torch.device(device)
        self.neurons = {p.name: Neurons(p, chosen, self.device) for p in program.populations}
        self.synapses = [Synapses(program, index, chosen, self.device) for index in range(len(program.projections))]
        self.components = components(cast(Any, program))

    def run(
        self,
        inputs: Mapping[str, Tensor],
        weights: Mapping[int, Tensor] | None = None,
        biases: Mapping[str, tuple[Tensor, tuple[Any, Any]]] | None = None,
    ) -> dict[str, Trace]:
        """Return all hardware rows of all populations.

        Args:
            inputs: spikes or payloads, ``[T, B, *shape]`` for each input.
            weights: codes to take instead of the program's, by place of the projection.
            biases: in register units, float64 (n,), with the initial u and v that go with them, by population.
        """
        weights, biases = weights or {}, biases or {}
        n_steps, n_samples = next(iter(inputs.values())).shape[:2]
        rows = n_steps + self.program.max_latency
        sent: dict[str, Tensor] = {}
        for name, values in inputs.items():
            flat = values.reshape(n_steps, n_samples, -1).to(self.device, torch.float32)
            sent[name] = torch.cat([flat, flat.new_zeros((rows - n_steps, *flat.shape[1:]))])
        for synapses in self.synapses:
            synapses.load(weights.get(synapses.index))
        states = {
            name: neurons.init(n_samples, *biases.get(name, (None, None))) for name, neurons in self.neurons.items()
        }
        traces: dict[str, Trace] = {}
        for component in self.components:
            found = self._advance(component, states, sent, rows)
            traces.update(found)
            sent.update({name: trace.fired for name, trace in found.items()})
        return traces

    def _advance(
        self, component: tuple[str, ...], states: dict[str, Registers], sent: Mapping[str, Tensor], rows: int
    ) -> dict[str, Trace]:
        """Step the populations of one component through all rows."""
        into = {name: [s for s in self.synapses if s.projection.target == name] for name in component}
        inside = {name: [s for s in into[name] if s.projection.source in component] for name in component}
        outside = {
            name: _total([s.all_rows(sent[s.projection.source]) for s in into[name] if s not in inside[name]])
            for name in component
        }
        is_safe = {name: self.neurons[name].is_safe(sum(s.most() for s in into[name])) for name in component}
        kept: dict[str, list[Registers]] = {name: [] for name in component}
        for t in range(rows):
            for name in component:
                neurons, block = self.neurons[name], outside[name]
                a = torch.zeros_like(states[name].u) if block is None else block[t]
                for s in inside[name]:
                    if t >= (delay := s.projection.delay):
                        a = a + s.one_row(kept[s.projection.source][t - delay].fired)
                states[name] = neurons.step(states[name], a, t, is_safe=is_safe[name])
                kept[name].append(states[name])
        return {name: _trace(kept[name]) for name in component}


def _total(blocks: Sequence[Tensor]) -> Tensor | None:
    """Return the sum of blocks, or None where there are none."""
    return sum(blocks[1:], start=blocks[0]) if blocks else None


def _trace(kept: list[Registers]) -> Trace:
    return Trace(*(torch.stack([getattr(state, key) for state in kept]) for key in ("fired", "v", "u")))
