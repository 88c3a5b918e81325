"""What a neuron does in one step, as data: a framework's dialect and a chip's neuron are both such rules."""

from __future__ import annotations

from dataclasses import dataclass

SPIKE_CONDITIONS = (">", ">=")
RESETS = ("subtract", "value", "none")


@dataclass(frozen=True, slots=True)
class NeuronRule:
    """When a neuron fires and how it is reset; the same for all neurons of a population.

    One step, with ``x`` the input and ``r`` the reset that a late reset still owes from the step before::

        i' = decay_syn * i + gain_syn * x                 (populations with a synaptic current; x = i' from here on)
        v' = decay_mem * v + gain_mem * x + bias          (reset applied by ``reset`` and ``reset_delay``)
        s  = v' > threshold                               (or >=)

    spike: ``>`` or ``>=``.
    reset: ``subtract`` (v loses the threshold), ``value`` (v becomes ``v_reset``) or ``none``.
    reset_delay: the reset of a spike acts at the start of the next step; the stored v is the one that fired.
    reset_drops_input: a late reset to a value also discards the input of the step in which it acts.
    reset_pending: with a reset in the same step, a v that still fires after it is reset again before the next spike
        test, as snnTorch's ``reset_delay=False`` does.
    """

    spike: str = ">"
    reset: str = "value"
    reset_delay: bool = False
    reset_drops_input: bool = False
    reset_pending: bool = False

    def __post_init__(self) -> None:
        if self.spike not in SPIKE_CONDITIONS:
            raise ValueError(f"NeuronRule.spike must be one of {SPIKE_CONDITIONS}, got {self.spike!r}")
        if self.reset not in RESETS:
            raise ValueError(f"NeuronRule.reset must be one of {RESETS}, got {self.reset!r}")
