"""The rule of a neuron's step, as data: a framework's dialect and a chip's neuron are both such rules."""

from __future__ import annotations

from dataclasses import dataclass

SPIKE_CONDITIONS = (">", ">=")
RESETS = ("subtract", "value", "none")
ORDERS = ("decay-add", "add-decay", "add-use-decay", "use-decay-add")
ADAPTATIONS = ("threshold", "v")
ADAPT_ORDERS = ("test-decay-add", "decay-test-add")


@dataclass(frozen=True, slots=True)
class NeuronRule:
    """The rule by which a neuron fires and is reset; the same for all neurons of a population.

    One step, with ``x`` the input and ``r`` the reset that a late reset still owes from the step before::

        i' = decay_syn * i + gain_syn * x                 (populations with a synaptic current; x = i' from here on)
        v' = decay_mem * v + gain_mem * x + bias          (reset applied by ``reset`` and ``reset_delay``)
        n  = v' > threshold                               (or >=; up to ``max_spikes`` if v' holds it several times)

    spike: ``>`` or ``>=``.
    reset: ``subtract`` (v loses the threshold for each spike), ``value`` (v becomes ``v_reset``) or ``none``.
    reset_delay: the reset of a spike acts at the start of the next step; the stored v is the one that fired.
    reset_drops_input: a late reset to a value also discards the input of the step in which it acts.
    reset_before_decay: a late subtraction acts before v decays, not after.
    reset_pending: with a reset in the same step, a v that still fires after it is reset again before the next spike
        test, as snnTorch's ``reset_delay=False`` does.
    max_spikes: spikes in one step at most, floor(v' / threshold) of them; None for no limit.
    rounds: v' / threshold is rounded instead, half to even.
    signed: -v' is tested as well, and sends spikes of -1, or negative counts, which are reset likewise.
    order: of the synaptic current: ``decay-add`` as above; ``add-decay``, i' = decay_syn * (i + gain_syn * x);
        ``add-use-decay``, where v sees i + gain_syn * x, which then decays; or ``use-decay-add``, where v sees the
        current of the step before, so that input acts a step later.
    adapts: what spikes leave behind: a higher ``threshold``, or a current that lowers ``v``.
    adapt_order: of such an adaptation: ``test-decay-add``, its b decays and takes this step's spikes after they
        were tested; or ``decay-test-add``, it decays before the test, see :class:`neurodeploy.ir.network.Population`.
    reset_currents: a reset also sets the synaptic currents to 0.
    sums_input: what several projections bring is summed before it is added to anything; this is a matter of rounding.
    output_delay: steps from the step in which v' meets the threshold to the one whose row has the spike.
    fires: False for integrators, whose output is v' itself.
    """

    spike: str = ">"
    reset: str = "value"
    reset_delay: bool = False
    reset_drops_input: bool = False
    reset_before_decay: bool = False
    reset_pending: bool = False
    max_spikes: int | None = 1
    rounds: bool = False
    signed: bool = False
    order: str = "decay-add"
    adapts: str = "threshold"
    adapt_order: str = "test-decay-add"
    reset_currents: bool = False
    sums_input: bool = False
    output_delay: int = 0
    fires: bool = True

    def __post_init__(self) -> None:
        choices = {"spike": SPIKE_CONDITIONS, "reset": RESETS, "order": ORDERS}
        choices |= {"adapts": ADAPTATIONS, "adapt_order": ADAPT_ORDERS}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ValueError(f"NeuronRule.{key} must be one of {known}, got {getattr(self, key)!r}")
        if self.max_spikes is not None and self.max_spikes < 1:
            raise ValueError(f"NeuronRule.max_spikes must be 1 or more, or None, got {self.max_spikes}")
        if self.adapts == "v" and self.adapt_order != "test-decay-add":
            raise ValueError(f"NeuronRule.adapt_order must be test-decay-add where v adapts, got {self.adapt_order!r}")
        if self.output_delay not in (0, 1):
            raise ValueError(f"NeuronRule.output_delay must be 0 or 1, got {self.output_delay}")

    @property
    def is_graded(self) -> bool:
        """Whether what it sends can be other than 0 and 1."""
        return not self.fires or self.max_spikes != 1 or self.signed
