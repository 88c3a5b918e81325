"""One step of a population in torch, by its rule, in the frameworks' order of operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodeploy.ir.needs import refuse_unread
from neurodeploy.ir.network import Population

if TYPE_CHECKING:
    import torch
    from torch import Tensor


READS_OF_RULE = (
    "spike", "reset", "reset_delay", "reset_drops_input", "reset_before_decay", "reset_pending", "max_spikes", "rounds",
    "signed", "order", "adapts", "adapt_order", "reset_currents", "sums_input", "output_delay", "fires",
)  # fmt: skip
READS_OF_POPULATION = (
    "name", "shape", "rule", "decay_mem", "threshold", "decay_syn", "gain_mem", "gain_syn", "bias", "v_reset", "v_init",
    "v_min", "adapt_decay", "adapt_gain", "adapt_rate", "decay_second", "gain_second", "i_init", "refractory",
)  # fmt: skip
"""What is computed of a rule and of a population."""


@dataclass(frozen=True, slots=True)
class State:
    """The state that a population carries from step to step; ``[B, *shape]`` each.

    v: membrane potential. i: synaptic current, or None. fired: spikes of the step before, 0 or 1, or a count.
    b: adaptation, or None. hold: steps for which v is still held after a spike, or None. e: a second synaptic current,
    or None.
    """

    v: Tensor
    i: Tensor | None
    fired: Tensor
    b: Tensor | None = None
    hold: Tensor | None = None
    e: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Charged:
    """A population in the middle of a step: it has taken its input and not yet fired.

    v: as it meets the threshold. threshold: of this step. i, e, b: as in :class:`State`. owed: spikes whose reset was
    due at the start of the step, or None.
    """

    v: Tensor
    threshold: Tensor
    i: Tensor | None
    e: Tensor | None
    b: Tensor | None
    owed: Tensor | None


class Neuron:
    """A population ready to step on a device.

    Args:
        population: the neurons.
        device: where tensors live.
        dtype: float32, as frameworks have it; float64 to see how far a float32 result may be off.
    """

    def __init__(self, population: Population, device: torch.device, dtype: torch.dtype) -> None:
        import torch

        refuse_unread(population.name, population.rule, READS_OF_RULE, "the reference")
        refuse_unread(population.name, population, READS_OF_POPULATION, "the reference")
        self.population, self.rule = population, population.rule
        self.device, self.dtype = device, dtype

        def tensor(values: Any) -> Any:
            return None if values is None else torch.from_numpy(np.array(values)).to(device, dtype)

        def unless(neutral: float, values: Any) -> Any:
            return None if np.all(np.asarray(values) == neutral) else tensor(values)

        self.decay_mem: Tensor = tensor(population.decay_mem)
        self.decay_syn: Tensor | None = tensor(population.decay_syn)
        self.gain_mem, self.gain_syn = unless(1, population.gain_mem), unless(1, population.gain_syn)
        self.bias: Tensor | None = unless(0, population.bias)
        self.threshold: Tensor = tensor(population.threshold)
        self.v_reset = unless(0, population.v_reset)
        self.v_init, self.i_init = tensor(population.v_init), tensor(population.i_init)
        self.v_min: Tensor | None = tensor(population.v_min)
        self.adapt_decay: Tensor | None = tensor(population.adapt_decay)
        self.adapt_gain: Tensor = tensor(population.adapt_gain)
        self.adapt_rate = tensor(population.adapt_rate)
        if self.adapt_rate is None and self.adapt_decay is not None:
            self.adapt_rate = 1 - self.adapt_decay
        self.decay_second = tensor(population.decay_second)
        self.gain_second = unless(1, population.gain_second)

    def init(self, n_samples: int) -> State:
        """Return the state before the first step."""
        import torch

        zeros = torch.zeros((n_samples, *self.population.shape), device=self.device, dtype=self.dtype)
        i = None if self.decay_syn is None else zeros + self.i_init
        e = None if self.decay_second is None else zeros
        b = None
        if self.adapt_decay is not None:
            b = zeros if self.rule.adapt_order == "test-decay-add" else zeros + self.threshold
        return State(zeros + self.v_init, i, zeros, b, zeros if self.population.refractory else None, e)

    def step(self, state: State, currents: list[Tensor]) -> State:
        """Return the state one step later; ``currents`` are added in their order."""
        charged = self.charge(state, currents)
        return self.carry(state, charged, self.sends(charged))

    def output(self, before: State, after: State) -> Tensor:
        """Return what a step sends: the spikes that ``after`` fired, or those before where output comes a step late."""
        return before.fired if self.rule.output_delay else after.fired

    def owed(self, state: State) -> Tensor | None:
        """Return the spikes whose reset is due at the start of this step, or None."""
        if self.rule.reset == "none" or not self.rule.fires:
            return None
        if self.rule.reset_delay:
            return state.fired
        return self.fires(state.v, self._threshold(state.b)) if self.rule.reset_pending else None

    def charge(self, state: State, currents: list[Tensor]) -> Charged:
        """Return the population once it has taken its input; a late reset acts on what it had before."""
        owed = self.owed(state)
        i, e = state.i, state.e
        if self.rule.sums_input and len(currents) > 1:
            currents = [sum(currents[1:], start=currents[0])]
        if i is not None:
            seen, i = self._current(i, currents, self.decay_syn, self.gain_syn)
            if e is not None:
                second, e = self._current(e, currents, self.decay_second, self.gain_second)
                seen = seen + second
            currents = [seen]
        if state.b is not None and self.rule.adapts == "v":
            total = sum(currents[1:], start=currents[0]) if currents else 0
            currents = [total - state.b]
        v = self._potential(state.v, currents, owed)
        if state.hold is not None:
            v = self._to_reset(v, state.hold)
        if owed is not None and self.rule.reset_delay:
            i, e = self._cleared(i, owed), self._cleared(e, owed)
        b = state.b
        if b is not None and self.rule.adapt_order == "decay-test-add":
            b = b + self.adapt_rate * (self.threshold - b)
        return Charged(v, self._threshold(b), i, e, b, owed)

    def sends(self, charged: Charged) -> Tensor:
        """Return what leaves the population: its spikes, or v where it does not fire."""
        return self.fires(charged.v, charged.threshold) if self.rule.fires else charged.v

    def carry(self, state: State, charged: Charged, sent: Tensor) -> State:
        """Return the state after a step that began at ``state`` and sent ``sent``.

        Args:
            state: the state before the step.
            charged: of :meth:`charge`, the population once it has taken its input.
            sent: ``[B, *shape]``, of :meth:`sends`.
        """
        if not self.rule.fires:
            # sinabs 3.1.3 sends what its integrator reached, and carries on what the floor leaves of it.
            v = charged.v if self.v_min is None else charged.v.maximum(self.v_min)
            return State(v, charged.i, sent, e=charged.e)
        v = self._settled(charged, sent)
        i, e = charged.i, charged.e
        if not self.rule.reset_delay:
            i, e = self._cleared(i, sent), self._cleared(e, sent)
        return State(v, i, sent, self._adapted(charged.b, sent), self._hold(state, sent), e)

    def fires(self, v: Tensor, threshold: Tensor) -> Tensor:
        """Return how often v holds the threshold, at most ``max_spikes``; less how often -v does where it is signed."""
        sent = self._count(v, threshold)
        return sent - self._count(-v, threshold) if self.rule.signed else sent

    def _count(self, v: Tensor, threshold: Tensor) -> Tensor:
        import torch

        rule = self.rule
        if rule.rounds:
            return (v / threshold).clamp(0, rule.max_spikes).round()
        one = (v > threshold) if rule.spike == ">" else (v >= threshold)
        if rule.max_spikes == 1:
            return one.to(self.dtype)
        count: Tensor = one * torch.div(v, threshold, rounding_mode="trunc").clamp(min=1)
        return count if rule.max_spikes is None else count.clamp(max=rule.max_spikes)

    def _threshold(self, b: Tensor | None) -> Tensor:
        """Return the threshold at which an adaptation of b leaves it."""
        if b is None or self.rule.adapts == "v":
            return self.threshold
        return b if self.rule.adapt_order == "decay-test-add" else self.threshold + self.adapt_gain * b

    def _settled(self, charged: Charged, fired: Tensor) -> Tensor:
        """Return the v that is carried on: after a reset in this step, and not below ``v_min``."""
        rule, v, owed = self.rule, charged.v, charged.owed
        if not rule.reset_delay and rule.reset != "none":
            due = fired if owed is None else fired - owed
            v = v - due * charged.threshold if rule.reset == "subtract" else self._to_reset(v, due)
        return v if self.v_min is None else v.maximum(self.v_min)

    def _cleared(self, current: Tensor | None, due: Tensor) -> Tensor | None:
        """Return a current, 0 where a reset that clears currents is due."""
        return current.masked_fill(due != 0, 0.0) if current is not None and self.rule.reset_currents else current

    def _to_reset(self, v: Tensor, due: Tensor) -> Tensor:
        v = v.masked_fill(due != 0, 0.0)
        return v if self.v_reset is None else v + (due != 0) * self.v_reset

    def _current(self, i: Tensor, currents: list[Tensor], decay: Any, gain: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the current that v sees, and the one that is carried on."""
        match self.rule.order:
            case "decay-add":
                i = _add(decay * i, currents, gain)
                return i, i
            case "add-decay":
                i = _add(i, currents, gain) * decay
                return i, i
            case "use-decay-add":
                return i, _add(decay * i, currents, gain)
        seen = _add(i, currents, gain)
        return seen, seen * decay

    def _potential(self, v: Tensor, currents: list[Tensor], owed: Tensor | None) -> Tensor:
        """Return v with decay, input and the reset that is owed from the step before."""
        rule = self.rule
        if owed is not None and rule.reset == "value" and not rule.reset_drops_input:
            v = self._to_reset(v, owed)
        if owed is not None and rule.reset_before_decay:
            v = v - owed * self.threshold
        v = _add(self.decay_mem * v, currents, self.gain_mem)
        if self.bias is not None:
            v = v + self.bias
        if owed is None or rule.reset_before_decay:
            return v
        if rule.reset == "subtract":
            return v - owed * self.threshold
        return self._to_reset(v, owed) if rule.reset_drops_input else v

    def _hold(self, state: State, fired: Tensor) -> Tensor | None:
        if state.hold is None:
            return None
        return (state.hold - 1).clamp(min=0).masked_fill(fired != 0, float(self.population.refractory))

    def _adapted(self, b: Tensor | None, fired: Tensor) -> Tensor | None:
        if b is None or self.adapt_decay is None:
            return None
        if self.rule.adapts == "v":
            current: Tensor = self.adapt_decay * (b + self.adapt_gain * fired)
            return current
        if self.rule.adapt_order == "decay-test-add":
            return b + fired * self.adapt_gain
        after: Tensor = self.adapt_decay * b + self.adapt_rate * fired
        return after


def _add(start: Tensor, currents: list[Tensor], gain: Tensor | None) -> Tensor:
    for current in currents:
        start = start + (current if gain is None else gain * current)
    return start
