"""Losses that are known without any data: of weights, leaks and neurons, each with the option that mends it.

An option is named only where the population, quantised once more with it, has lost less than half as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import known
from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS
from neurodeploy.families.loihi.bounds import swings
from neurodeploy.families.loihi.check.program_check import some_neurons
from neurodeploy.families.loihi.quantise.fit import FINE, Choices
from neurodeploy.families.loihi.quantise.population import Coded
from neurodeploy.families.loihi.registers import leaks, missed
from neurodeploy.families.loihi.scale import Synapses, highest_potential
from neurodeploy.ir.network import Population

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Quantise = Callable[[Choices], Coded]

MANY = 0.1
"""Share of a projection's weights, or of a population's neurons, from which the loss of their codes is said; of weights
only where neurons notice."""

NARROW = 1 / 8
"""Share of the range of codes below which a neuron's weights hardly use it."""

MARGIN = 1.02
"""By how much v must miss or pass the threshold in the model for a neuron that does otherwise here to be named."""

OFF = 2.0
"""By how much a plan's threshold may exceed the model's, or fall below it, without a word; refitted ones do less."""

KINDS = ("threshold", "silenced", "woken", "leak", "zeroed", "narrow")
"""Kinds of losses, the worst first."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss of a population or projection.

    kind: of ``KINDS``. node: its name. share: of its neurons or weights, 0 to 1. sentence: what is lost.
    remedy: what mends it, in words.
    """

    kind: str
    node: str
    share: float
    sentence: str
    remedy: str


def find_losses(
    population: Population,
    neuron: AffineNeuron,
    synapses: tuple[Synapses, ...],
    choices: Choices,
    coded: Coded,
    quantise: Quantise,
) -> list[Loss]:
    """Return what a population's codes have lost of its model.

    Args:
        population: the float neurons.
        neuron, synapses: the same, and all that flows into them, in the chip's form.
        choices: how it was quantised.
        coded: the codes.
        quantise: quantises it with other choices.
    """
    if not population.size:
        return []
    flags = _neurons_lost(neuron, synapses, coded)
    found = _threshold_losses(population.name, choices, coded, quantise)
    remedies = _Remedies(choices, quantise)
    for kind, what in (("silenced", "can no longer fire, whatever the input"), ("woken", "can fire only here")):
        if flags[kind].mean() >= (MANY if kind == "woken" else 1e-9):

            def share(other: Coded, kind: str = kind) -> float:
                return float(_neurons_lost(neuron, synapses, other)[kind].mean())

            sentence = f"{population.name}: {some_neurons(flags[kind])} {what}, and in the model {_OTHERWISE[kind]}"
            of_all = share(coded)
            found.append(Loss(kind, population.name, of_all, sentence, remedies.find(share, of_all)))
    for register, leak in leaks(neuron, coded.population).items():
        if missed(leak).any():
            found.append(_leak_loss(population.name, register, leak, coded, choices))
    for index, s in enumerate(synapses):
        of_all, harm = _zeroed(s, coded, index)
        if of_all >= MANY and harm >= FINE:
            sentence = (
                f"{s.projection.name}: {100 * of_all:.3g} % of the weights that are not 0 became 0, {100 * harm:.2g} %"
                " of what they do to v"
            )
            remedy = remedies.find(lambda other, s=s, i=index: _zeroed(s, other, i)[0], of_all)  # type: ignore[misc]
            found.append(Loss("zeroed", s.projection.name, of_all, sentence, remedy))
    hardly = _narrow(population, synapses, coded)
    if (of_all := float(hardly.mean())) >= MANY:
        sentence = f"{population.name}: the weights of {some_neurons(hardly)} use less than an eighth of their codes"
        remedy = remedies.find(lambda other: float(_narrow(population, synapses, other).mean()), of_all)
        found.append(Loss("narrow", population.name, of_all, sentence, remedy))
    return found


def loss_sentences(losses: list[Loss]) -> list[str]:
    """Return a sentence for each kind of loss, the worst kind first, about the node that has lost most."""
    found = []
    for kind in KINDS:
        of_kind = sorted((one for one in losses if one.kind == kind), key=lambda one: -one.share)
        if of_kind:
            worst, *others = of_kind
            more = f" (less so {known(one.node for one in others)})" if others else ""
            found.append(f"{worst.sentence}{more}: {worst.remedy}")
    return found


_OTHERWISE = {"silenced": "they can", "woken": "no input brings their v to the threshold"}


class _Remedies:
    """The options that are tried, the mildest first; each is tried once."""

    def __init__(self, choices: Choices, quantise: Quantise) -> None:
        plain = replace(choices, drive=None, rounding="nearest", correct=())
        plan = choices.plan
        self._choices: dict[str, Choices] = {}
        self._quantise = quantise
        self._coded: dict[str, Coded] = {}
        if plan.codes_per_volt is not None or plan.channel_gain is not None:
            free = plan.model_copy(
                update=dict.fromkeys(("codes_per_volt", "channel_gain", "scale", "threshold", "bias"))
            )
            self._choices["codes_per_volt, channel_gain, threshold and bias left out of the plan"] = replace(
                plain,
                plan=free,
                projections=tuple(p.model_copy(update={"exponent": None}) for p in choices.projections),
            )
            return
        if choices.scale is not None:
            self._choices["leaving out --scale"] = replace(plain, scale=None)
        if choices.per_channel is False:
            self._choices["--per-channel"] = replace(plain, per_channel=True)
            self._choices["--per-channel without --scale"] = replace(plain, per_channel=True, scale=None)
        elif choices.per_channel is None:
            self._choices["--per-channel"] = replace(plain, per_channel=True)
        if isinstance(choices.bits, str) or choices.bits < 8:
            self._choices["--weight-bits 8"] = replace(plain, bits=8)

    def find(self, share: Callable[[Coded], float], now: float) -> str:
        """Return which option leaves less than half of a share, in words."""
        for option, choices in self._choices.items():
            if option not in self._coded:
                self._coded[option] = self._quantise(choices)
            if (left := share(self._coded[option])) < now / 2:
                return f"{option} leaves {100 * left:.2g} %"
        if not self._choices:
            return "no option of compile mends this; rescale or retrain the layer"
        return f"not halved by {' or '.join(self._choices)}; rescale or retrain the layer"


def _can_fire(coded: Coded, synapses: tuple[Synapses, ...]) -> Flags:
    """Return which neurons some input may bring to their threshold, bool (n,); truncation would only lower v."""
    own, late = coded.population, () if coded.late is None else (coded.late,)
    payloads = [(int(min(s.payload[0], 0)), int(max(s.payload[1], 0))) for s in synapses]
    low, high = swings(own, (*coded.projections, *late), (*payloads, *((0, 1) for _ in late)))
    full = 2.0**DECAY_BITS
    lost_u = (own.du + 1) / full
    if own.du_second is not None:
        high, lost_u = high - low, np.minimum(lost_u, (own.du_second + 1) / full)
    drive = high / lost_u + np.maximum(own.bias_mantissa.astype(np.float64) * 2.0**own.bias_exponent, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        settled = np.where(drive > 0, drive * full / own.dv, 0.0)
    highest = settled + np.maximum(own.v_init, 0) + np.maximum(own.u_init, 0) / lost_u
    return np.asarray(highest > own.threshold_code.astype(np.float64) * 2**ALIGN_BITS, np.bool_)


def _neurons_lost(neuron: AffineNeuron, synapses: tuple[Synapses, ...], coded: Coded) -> dict[str, Flags]:
    """Return which neurons fire in the model alone and which here alone, for some input; bool (n,)."""
    none = np.zeros(len(neuron.threshold), np.bool_)
    if not neuron.model.fires or coded.never_fires:
        return {"silenced": none, "woken": none}
    highest, fires = highest_potential(neuron, synapses), _can_fire(coded, synapses)
    bound = neuron.threshold > 0
    return {
        "silenced": bound & (highest > MARGIN * neuron.threshold) & ~fires,
        "woken": bound & (highest * MARGIN < neuron.threshold) & fires,
    }


def _threshold_losses(name: str, choices: Choices, coded: Coded, quantise: Quantise) -> list[Loss]:
    """Return the loss of a plan's threshold that is another than the model's, in none or one."""
    if choices.plan.threshold is None or not coded.population.model.fires:
        return []
    free = choices.plan.model_copy(update={"threshold": None})
    other = quantise(replace(choices, plan=free, rounding="nearest", correct=())).population
    own = coded.population
    here, model = (own.threshold_code + 1) / own.unit, (other.threshold_code + 1) / other.unit
    if not (off := np.maximum(here / model, model / here) > OFF).any():
        return []
    times = float((here / model)[off][0])
    sentence = f"{name}: the plan's threshold of {some_neurons(off)} is {times:.2g} times the model's"
    return [Loss("threshold", name, float(off.mean()), sentence, "threshold left out of the plan takes the model's")]


def _leak_loss(name: str, register: str, leak: tuple[Floats, Floats], coded: Coded, choices: Choices) -> Loss:
    """Return the loss of a leak that no code meets."""
    exact, here = leak
    off = missed(leak)
    worst = int(np.where(off, np.abs(here - exact) / np.maximum(exact, 1e-30), 0.0).argmax())
    code = int(coded.population.dv[worst]) if register == "v" else int(coded.population.du[worst]) + 1
    lasts = f"a time constant of {2**DECAY_BITS / exact[worst]:.4g} steps"
    does = "does not leak" if code == 0 else f"loses {code}/4096 in a step"
    sentence = (
        f"{name}: {register} of {some_neurons(off)} {does}, but loses {exact[worst]:.3g}/4096 in the model ({lasts})"
    )
    other = code + 1 if here[worst] < exact[worst] else code - 1
    planned = choices.plan.leak_v if register == "v" else choices.plan.leak_u
    if planned is not None and abs(code - exact[worst]) >= 1:
        remedy = f"leak_{register} left out of the plan takes the code that is nearest to the model's"
    elif register == "u" or other < 0:
        remedy = "the chip has no nearer leak; use shorter time constants or longer time steps in the model"
    elif choices.drive is not None and choices.rounding == "learned":
        remedy = f"of {min(code, other)} and {max(code, other)}, the code that is nearer on calibration data was taken"
    else:
        remedy = (
            f"--calibrate DATA takes the one of {min(code, other)} and {max(code, other)} whose spikes are nearer to"
            f" the model's; --plan with populations: {{{name}: {{leak_v: {other}}}}} takes {other}"
        )
    return Loss("leak", name, float(off.mean()), sentence, remedy)


def _zeroed(s: Synapses, coded: Coded, index: int) -> tuple[float, float]:
    """Return the share of a projection's weights other than 0 whose code is 0, and of what a neuron's weights do.

    The second is of squared weights, in the mean of all neurons.
    """
    weight, codes = s.folded.entries, coded.projections[index].weight
    there = weight != 0
    if weight.shape != codes.shape or not there.any():
        return 0.0, 0.0
    lost = there & (codes == 0)
    squares = [s.folded.with_stored(weight**2 * which).row_sums()[1] for which in (lost, there)]
    heard = squares[1] > 0
    return float(lost.sum() / there.sum()), float((squares[0][heard] / squares[1][heard]).mean())


def _narrow(population: Population, synapses: tuple[Synapses, ...], coded: Coded) -> Flags:
    """Return the neurons whose largest code, of all projections, is less than an eighth of the range; bool (n,)."""
    largest, heard = np.zeros(population.size), np.zeros(population.size, np.bool_)
    for s, p in zip(synapses, coded.projections, strict=True):
        if p.weight.shape != s.folded.entries.shape:  # unrolled for gains of its neurons
            return np.zeros(population.size, np.bool_)
        top = 128 if p.weight_bits < 3 else 256 - (1 << (8 - p.weight_bits + (p.sign_mode == "mixed")))
        of_rows = s.folded.with_stored(p.weight.astype(np.float32)).largest() / top
        for found, rows in ((largest, of_rows), (heard, s.folded.largest() > 0)):
            np.maximum(found, np.repeat(rows, population.size // len(rows)), out=found)
    return np.asarray(heard & (largest < NARROW), np.bool_)
