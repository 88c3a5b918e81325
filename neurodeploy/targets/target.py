"""Facts about a chip, each with unit, kind and source: the forms that all chip families share.

Every fact binds: a file that states one that is not allowed is refused when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from neurodeploy.errors import known
from neurodeploy.targets.target_file import Place

Kind = Literal["tested", "published", "secondary", "inferred"]
Text = Annotated[str, Field(min_length=1)]
Joules = Annotated[float, Field(ge=0.0, le=1e-6, allow_inf_nan=False)]
"""Energy of an event. A microjoule is a million times what chips take, so that more is a figure in another unit."""


class Facts(BaseModel):
    """A table of a target file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Number(Facts):
    """A count or width: value in ``unit``, how we know it, and from where."""

    value: int
    unit: str
    kind: Kind
    source: Text


class Choice(Facts):
    """Words of a list, how we know them, and from where."""

    value: list[str]
    unit: str
    kind: Kind
    source: Text


class Flag(Facts):
    """Whether a chip can do something, how we know it, and from where."""

    value: bool
    unit: str
    kind: Kind
    source: Text


class EnergyProfile(Facts):
    """Energy per event, J.

    synop: per weight delivered. neuron_active, neuron_inactive: per neuron and step, all in all.
    spike: on top, per spike fired. spike_message: per spike and destination.
    """

    name: Text
    title: Text
    source: Text
    kind: Kind
    basis: Text
    synop: Joules
    neuron_active: Joules
    neuron_inactive: Joules
    spike: Joules = 0.0
    spike_message: Joules = 0.0
    relative_uncertainty: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.0


class Measured(Facts):
    """A figure that somebody measured on the chip: of what, with its unit, how we know it, and from where."""

    what: Text
    value: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    unit: Literal["J", "W", "s"]
    kind: Kind
    source: Text


class Energy(Facts):
    """Published energy profiles, or the statement that there are none and whose profiles are shown instead.

    measured: figures of other networks, from which none of this one follows.
    """

    profiles: list[EnergyProfile] = Field(default_factory=list)
    statement: Text | None = None
    profiles_of: Text | None = None
    measured: list[Measured] = Field(default_factory=list)


class Target(Facts):
    """A chip: what every family states of one; each family's own facts are in a schema that extends this.

    family: name of the chip family, which picks the schema.
    arithmetic: of those that the family has, what programs are compiled for.
    """

    SECTIONS: ClassVar[tuple[str, ...]]
    """Tables whose entries are facts, each with value, unit, kind and source."""
    ALLOWED: ClassVar[dict[str, Allowed]]
    """What each fact may be, by its key, ``number_formats.delay_max``."""

    name: Text
    title: Text
    family: Text
    arithmetic: str
    energy: Energy

    def __repr__(self) -> str:
        return f"Target({self.name!r})"

    def can(self) -> frozenset[str]:
        """Return what programs may need of the chip; see :mod:`neurodeploy.ir.needs`."""
        raise NotImplementedError

    def formats(self) -> dict[str, int]:
        """Return the bare numbers that programs carry, by name; ``weight_bits_max`` and ``message_bits_max`` always."""
        raise NotImplementedError

    def facts(self) -> Iterator[tuple[str, Number | Choice | Flag]]:
        """Yield every fact with its key, ``number_formats.delay_max``."""
        for section in self.SECTIONS:
            for key, fact in getattr(self, section):
                yield f"{section}.{key}", fact

    def own_faults(self) -> Iterator[tuple[Place, str]]:
        """Yield which facts of the family's own cannot be together, each with its place."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a fact may be, so that what programs are computed with and what the file says are the same.

    unit: the one unit in which it is stated.
    span: least and most of a number. words: what a list may name. always: what a list has to name.
    """

    unit: str = ""
    span: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    always: str = ""

    def fault(self, key: str, fact: Number | Choice | Flag) -> str | None:
        """Return in a sentence what is wrong with a fact, or None."""
        if fact.unit != self.unit:
            return f"{key} has the unit {fact.unit!r}, but it must be given in {self.unit!r}"
        if isinstance(fact, Choice):
            return self._of_words(key, fact.value)
        if self.span is None or self.span[0] <= fact.value <= self.span[1]:
            return None
        low, high = self.span
        unit = "" if self.unit == "1" else f" {self.unit}"
        allowed = f"{low}{unit}, as the integer arithmetic has it" if low == high else f"{low} to {high}{unit}"
        return f"{key} is {shortened(fact.value)}, but it has to be {allowed}"

    def _of_words(self, key: str, words: list[str]) -> str | None:
        if unknown := [word for word in words if word not in self.words]:
            return f"{key} names {known(unknown)}; there are {', '.join(self.words)}"
        if self.always not in words:
            return f"{key} is {words}, but it has to name {self.always!r}, which every program uses"
        return f"{key} names a word twice: {words}" if len(set(words)) < len(words) else None
