"""The decision of a sample: its rule, its output, and the number of groups of the output's units.

Nothing is scored by a rule that nobody chose. :func:`settle_decision` takes what was said, else what the model's file
says, else the one plain case (spikes of a single output are counted), else it asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known

if TYPE_CHECKING:
    from neurodeploy.ir.network import Network
    from neurodeploy.ir.program import Program

RULES = {
    "count": "most spikes",
    "first": "earliest spike",
    "sum": "largest sum over time",
    "mean": "largest mean over time",
    "max": "largest value in any step",
    "last": "largest value in the last step",
}
OF_SPIKES = ("count", "first")
"""Rules that need an output that fires."""

FORM = "RULE[,groups=N][,output=NAME]"
MEMBRANE = ".v"
"""What follows a node's name where its membrane potential is meant."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule that decides a sample.

    rule: one of :data:`RULES`.
    output: the node that is read, ``NAME`` for its spikes (its value, where it does not fire) or ``NAME.v`` for its
        membrane potential; None for the only one there is.
    groups: classes in which neighbouring units are added: class k of N is units ``k * n`` to ``k * n + n - 1``, in C
        order, of ``N * n``; None where each unit is a class.
    """

    rule: str
    output: str | None = None
    groups: int | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise DeployError(f"no rule decides by {self.rule!r}", where="--decide", fix=f"Write {FORM}; {_rules()}.")
        if self.groups is not None and (type(self.groups) is not int or self.groups < 1):
            raise DeployError(
                f"groups={self.groups!r} is not a whole number above 0", where="--decide", fix=f"Write {FORM}."
            )

    def __str__(self) -> str:
        """Return the text that :func:`parse_decision` reads."""
        groups = "" if self.groups is None else f",groups={self.groups}"
        return self.rule + groups + ("" if self.output is None else f",output={self.output}")

    @property
    def words(self) -> str:
        """The rule as a phrase: ``most spikes of lif2``."""
        what = "" if self.output is None else f" of {self.output}"
        groups = "" if self.groups is None else f", units added in {self.groups} groups"
        return RULES[self.rule] + what + groups


@dataclass(frozen=True, slots=True)
class Readout:
    """The observable that is read of a node: ``spikes``, ``value`` or ``v``, of so many units."""

    node: str
    observable: str
    size: int

    @property
    def name(self) -> str:
        """How a decision calls it."""
        return self.node + MEMBRANE if self.observable == "v" else self.node


@dataclass(frozen=True, slots=True)
class Settled:
    """The decision and its reason, or the question that has to be asked.

    decision: with its output, or None where nobody chose. because: who said so, or why nobody can know.
    candidates: what could be meant, where nobody chose.
    """

    decision: Decision | None
    because: str
    candidates: tuple[Decision, ...] = ()

    @property
    def sentence(self) -> str:
        """Say what decides, or ask."""
        if self.decision is not None:
            return f"decided by {self.decision.words} ({self.because})"
        options = " or ".join(f"--decide {candidate}" for candidate in self.candidates)
        return f"nothing says how a sample is decided ({self.because}); give {options or f'--decide {FORM}'}"

    def chosen(self) -> Decision:
        """Return the decision.

        Raises:
            DeployError: nobody chose; it asks.
        """
        if self.decision is None:
            options = " or ".join(f"--decide {candidate}" for candidate in self.candidates)
            raise DeployError(
                f"nothing says how a sample is decided: {self.because}", where="--decide", fix=f"Give {options}."
            )
        return self.decision


def parse_decision(text: str, where: str = "--decide") -> Decision:
    """Return the decision that ``RULE[,groups=N][,output=NAME]`` describes.

    Raises:
        DeployError: the rule or a key is unknown, or groups are no whole number above 0.
    """
    rule, *items = [part.strip() for part in str(text).split(",")]
    said: dict[str, str] = {}
    for item in items:
        key, _, value = item.partition("=")
        if key not in ("groups", "output") or not value or key in said:
            raise DeployError(f"a decision has no option {item!r}", where=where, fix=f"Write {FORM}; {_rules()}.")
        said[key] = value
    groups = said.get("groups")
    if groups is not None and not (groups.isascii() and groups.isdecimal() and int(groups)):
        raise DeployError(f"groups={groups} is not a whole number above 0", where=where, fix=f"Write {FORM}.")
    if rule not in RULES:
        raise DeployError(f"no rule decides by {rule!r}", where=where, fix=f"Write {FORM}; {_rules()}.")
    return Decision(rule, said.get("output"), None if groups is None else int(groups))


def find_readout(subject: Network | Program, name: str, where: str = "--decide") -> Readout:
    """Return what ``NAME`` or ``NAME.v`` reads.

    Args:
        subject: the model, or a program of it.
        name: the node, or with ``.v`` its membrane potential.
        where: the option at fault, for the message.

    Raises:
        DeployError: there is no such node, or its channels have scales of their own, so that potentials do not compare.
    """
    nodes = {population.name: population for population in subject.populations}
    node, membrane = (name, False) if name in nodes else (name.removesuffix(MEMBRANE), name.endswith(MEMBRANE))
    if node not in nodes:
        raise DeployError(
            f"there is no node {name!r} to read",
            where=where,
            fix=f"Choose from the nodes {known(nodes)}; NAME.v reads a node's potential.",
        )
    fires = subject.fires(node)
    if fires and membrane and node in getattr(subject, "provenance", {}).get("per_channel", ()):
        raise DeployError(
            f"each channel of {node} has a scale of its own in this program, so their potentials cannot be compared",
            where=where,
            fix=f"Compile with --decide ...,output={node}.v, or --per-population.",
        )
    observable = ("v" if membrane else "spikes") if fires else "value"
    return Readout(node, observable, prod(nodes[node].shape))


def readouts(subject: Network | Program) -> tuple[Readout, ...]:
    """Return what the trained model returns: the outputs, and membranes that it returns beside them."""
    return tuple(find_readout(subject, name) for name in subject.readouts or subject.outputs)


def check_decision(decision: Decision, subject: Network | Program, where: str = "--decide") -> None:
    """Refuse a decision that the model's nodes do not allow.

    Args:
        decision: the rule.
        subject: the model, or a program of it.
        where: the option at fault, for the message.

    Raises:
        DeployError: the output is unknown or does not fire, or its units do not divide into the groups.
    """
    if decision.output is None:
        return
    read = find_readout(subject, decision.output, where)
    if decision.rule in OF_SPIKES and read.observable != "spikes":
        others = known(rule for rule in RULES if rule not in OF_SPIKES)
        raise DeployError(
            f"{decision.rule!r} needs spikes, but {read.name} sends none", where=where, fix=f"Choose from {others}."
        )
    if decision.groups is not None and read.size % decision.groups:
        raise DeployError(
            f"the {read.size} units of {read.name} cannot be divided into {decision.groups} equal groups",
            where=where,
            fix=f"Give a number of groups that divides {read.size}.",
        )


def with_decision(network: Network, said: Decision | str | None) -> Network:
    """Return the network with what was said of its decision, or as it is.

    Raises:
        DeployError: what was said does not fit the network.
    """
    if said is None:
        return network
    decision = parse_decision(said) if isinstance(said, str) else said
    return replace(network, decision=settle_decision(network, decision).decision or decision)


def membranes(subject: Network | Program, *decisions: Decision | None) -> tuple[str, ...]:
    """Return the firing nodes whose potential is read, by what the model returns or by a decision."""
    named = [decision.output for decision in (subject.decision, *decisions) if decision is not None]
    read = [*readouts(subject), *(find_readout(subject, name) for name in named if name is not None)]
    return tuple(dict.fromkeys(one.node for one in read if one.observable == "v"))


def class_count(labels: NDArray[np.int64] | None) -> int | None:
    """Return how many classes labels have, which count from 0; None without labels."""
    return None if labels is None or not labels.size else int(labels.max()) + 1


def n_classes(decision: Decision, subject: Network | Program) -> int:
    """Return how many classes a decision chooses from."""
    assert decision.output is not None
    return decision.groups or find_readout(subject, decision.output).size


def settle_decision(
    subject: Network | Program,
    said: Decision | str | None = None,
    classes: int | None = None,
    *,
    regression: bool = False,
) -> Settled:
    """Find what decides.

    Args:
        subject: network or program, with what its file says.
        said: as given to ``--decide``, or None.
        classes: how many the labels have, or None.
        regression: numbers are read rather than classes.

    Raises:
        DeployError: what was said does not fit the model.
    """
    said = parse_decision(said) if isinstance(said, str) else said
    decision, because = (subject.decision, "as the file says") if said is None else (said, "--decide")
    where = "--decide" if said is not None else "the model's metadata"
    found = readouts(subject)
    if decision is not None:
        fitting = [read for read in found if read.observable == "spikes" or decision.rule not in OF_SPIKES]
        if decision.output is None and len(fitting or found) == 1:
            decision = replace(decision, output=(fitting or found)[0].name)
        check_decision(decision, subject, where)
        if decision.output is not None:
            return Settled(decision, because)
        names = known(read.name for read in fitting)
        return Settled(None, f"outputs are {names}", tuple(replace(decision, output=read.name) for read in fitting))
    if regression:
        rules = ("mean", "last")
        return _asked(found, dict.fromkeys(("spikes", "value", "v"), rules), None)
    one = found[0]
    split = classes is not None and 1 < classes < one.size and one.size % classes == 0
    if subject.undecided:
        asked = _asked(found, RULES_ASKED, classes)
        return replace(asked, because=subject.undecided)
    if len(found) == 1 and one.observable == "spikes" and not split:
        return Settled(Decision("count", one.name), "no rule in the file: spike counts")
    return _asked(found, RULES_ASKED, classes)


RULES_ASKED = {"spikes": ("count",), "value": ("sum", "max", "last"), "v": ("sum", "max", "last")}
"""The rules that are plausible of each observable."""


def _asked(found: tuple[Readout, ...], rules: dict[str, tuple[str, ...]], classes: int | None) -> Settled:
    """Return the question: each plausible rule of each output."""
    candidates: list[Decision] = []
    for read in found:
        for rule in rules[read.observable]:
            candidates.append(Decision(rule, read.name))
            if classes is not None and 1 < classes < read.size and read.size % classes == 0:
                candidates.append(Decision(rule, read.name, classes))
    if classes is None and len(found) == 1:
        because = f"{found[0].name} gives a number in each step"
    elif len(found) > 1:
        because = f"the model has outputs {known(read.name for read in found)}"
    elif found[0].observable != "spikes":
        because = f"{found[0].name} is read as a value, over time"
    else:
        because = f"{found[0].name} has {found[0].size} units and the labels {classes} classes"
    return Settled(None, because, tuple(candidates))


def check_labels(subject: Network | Program, settled: Settled, labels: NDArray[np.int64] | None, source: str) -> None:
    """Refuse labels that are none of the classes that are decided between.

    Args:
        subject: the model, or a program of it.
        settled: the decision, or the rules that could be meant.
        labels: int64 (B,), or None.
        source: where the labels are from, for the message.

    Raises:
        DeployError: one is below 0 or beyond.
    """
    if labels is None or not labels.size:
        return
    decisions = settled.candidates if settled.decision is None else (settled.decision,)
    largest = max(decisions, key=lambda decision: n_classes(decision, subject))
    most = n_classes(largest, subject)
    if not 0 <= labels.min() <= labels.max() < most:
        what = "neurons" if largest.groups is None else "groups"
        raise DeployError(
            f"labels run from {labels.min()} to {labels.max()}, but output {largest.output!r} has {most} {what}",
            where=source,
            fix="Store labels that count from 0, one for each output neuron or group."
            + (" These seem to count from 1: subtract 1." if labels.min() == 1 and labels.max() == most else ""),
        )


def _rules() -> str:
    return f"rules are {known(RULES)}"
