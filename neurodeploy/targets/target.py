"""Facts about a chip, each with unit, kind and source, from ``targets/<name>.toml`` or a file of the user's own.

Every fact binds: a file that states one that is not :data:`ALLOWED` is refused when it is read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from reprlib import repr as shortened
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neurodeploy.budget import MAX_TARGET_BYTES
from neurodeploy.errors import DeployError, known
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, ARITHMETICS, DECAY_BITS, STATE_BITS, STATE_LIMIT
from neurodeploy.files import read_text
from neurodeploy.ir.codes import (
    BIAS_EXPONENTS,
    CODE_RANGES,
    CONDITIONS,
    MAX_DELAY,
    MESSAGE_BITS,
    MODEL_RANGES,
    RESETS,
    THRESHOLD_MAX,
    WEIGHT_BITS,
    WEIGHT_EXPONENTS,
)
from neurodeploy.ir.needs import RESETS as RESETS_NEED
from neurodeploy.ir.needs import can
from neurodeploy.shipped import shipped_folder
from neurodeploy.targets.target_file import Place, in_words, inherit, line_of

Kind = Literal["tested", "published", "secondary", "inferred"]
Text = Annotated[str, Field(min_length=1)]
Joules = Annotated[float, Field(ge=0.0, le=1e-6, allow_inf_nan=False)]
"""Energy of an event. A microjoule is a million times what chips take, so that more is a figure in another unit."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Number(_Facts):
    """A count or width: value in ``unit``, how we know it, and from where."""

    value: int
    unit: str
    kind: Kind
    source: Text


class Choice(_Facts):
    """Words of a list, how we know them, and from where."""

    value: list[str]
    unit: str
    kind: Kind
    source: Text


class Flag(_Facts):
    """Whether a chip can do something, how we know it, and from where."""

    value: bool
    unit: str
    kind: Kind
    source: Text


class NeuronFacts(_Facts):
    """Facts about what the chip's neurons do, or can be programmed to do.

    spike: the conditions, of ``codes.CONDITIONS``. resets: which of ``codes.RESETS``.
    spikes_per_step_max: 1, or the largest count that one graded spike carries.
    refractory_max: steps after a spike's own for which v can be held.
    adaptive_threshold: a threshold that spikes raise and that falls back, or a current of such kind that lowers v.
    second_current: a second synaptic current that takes the input with the other sign.
    reset_currents: a reset that sets the synaptic currents to 0 as well.
    potential_floor: a value below which v is not let fall.
    potential_output: neurons that do not fire and whose v is read.
    """

    spike: Choice
    resets: Choice
    spikes_per_step_max: Number
    refractory_max: Number
    adaptive_threshold: Flag
    second_current: Flag
    reset_currents: Flag
    potential_floor: Flag
    potential_output: Flag


class NumberFormats(_Facts):
    """Widths and ranges of the integer codes.

    input_sum_bits: of what one step's input sums to, with the sign; that of u where nothing narrower lies before it.
    """

    state_bits: Number
    decay_bits: Number
    threshold_bits: Number
    bias_mantissa_max: Number
    bias_exponent_max: Number
    weight_bits_max: Number
    weight_exponent_max: Number
    delay_max: Number
    message_bits_max: Number
    input_sum_bits: Number

    def values(self) -> dict[str, int]:
        """Return the bare numbers by name, as programs carry them."""
        return {name: getattr(self, name).value for name in type(self).model_fields}


class Limits(_Facts):
    """Limits of one chip."""

    cores: Number
    neurons_per_core: Number
    synapse_bytes_per_core: Number


class EnergyProfile(_Facts):
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


class Energy(_Facts):
    """Published energy profiles, or the statement that there are none and whose profiles are shown instead."""

    profiles: list[EnergyProfile] = Field(default_factory=list)
    statement: Text | None = None
    profiles_of: Text | None = None


class Target(_Facts):
    """A chip."""

    name: Text
    title: Text
    arithmetic: str
    neuron: NeuronFacts
    number_formats: NumberFormats
    limits: Limits
    energy: Energy

    def __repr__(self) -> str:
        return f"Target({self.name!r})"

    def can(self) -> frozenset[str]:
        """Return what programs may need of the chip; see :mod:`neurodeploy.ir.needs`."""
        neuron, formats = self.neuron, self.number_formats
        by_fact = {
            **{need: reset in neuron.resets.value for reset, need in RESETS_NEED.items()},
            "meets": ">=" in neuron.spike.value,
            "count": neuron.spikes_per_step_max.value > 1,
            "refractory": neuron.refractory_max.value > 0,
            "adaptive": neuron.adaptive_threshold.value,
            "lowers-v": neuron.adaptive_threshold.value,
            "second": neuron.second_current.value,
            "clears-now": neuron.reset_currents.value,
            "clears-late": neuron.reset_currents.value,
            "floor": neuron.potential_floor.value,
            "integrator": neuron.potential_output.value,
            "delay": formats.delay_max.value > 0,
            "graded": formats.message_bits_max.value > 0,
        }
        return ALWAYS | {need for need, is_met in by_fact.items() if is_met}

    def facts(self) -> Iterator[tuple[str, Number | Choice | Flag]]:
        """Yield every fact with its key, ``number_formats.delay_max``."""
        for section in ("neuron", "number_formats", "limits"):
            for key, fact in getattr(self, section):
                yield f"{section}.{key}", fact


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


ALWAYS = can("interval ternary conv sparse negative-exponent host")
"""What programs may need of every chip: Lava's own processes and layouts, which no fact of a target is about."""

_MANY = 2**31 - 1

ALLOWED: dict[str, Allowed] = {
    "neuron.spike": Allowed(words=CONDITIONS, always=">"),
    "neuron.resets": Allowed(words=RESETS, always="zero"),
    "neuron.spikes_per_step_max": Allowed("1", (1, STATE_LIMIT - 1)),
    "neuron.refractory_max": Allowed("step", MODEL_RANGES["refractory"]),
    "neuron.adaptive_threshold": Allowed(),
    "neuron.second_current": Allowed(),
    "neuron.reset_currents": Allowed(),
    "neuron.potential_floor": Allowed(),
    "neuron.potential_output": Allowed(),
    "number_formats.state_bits": Allowed("bit", (STATE_BITS, STATE_BITS)),
    "number_formats.decay_bits": Allowed("bit", (DECAY_BITS, DECAY_BITS)),
    "number_formats.threshold_bits": Allowed("bit", (1, THRESHOLD_MAX.bit_length())),
    "number_formats.bias_mantissa_max": Allowed("1", (1, CODE_RANGES["bias_mantissa"][1])),
    "number_formats.bias_exponent_max": Allowed("1", BIAS_EXPONENTS),
    "number_formats.weight_bits_max": Allowed("bit", WEIGHT_BITS),
    "number_formats.weight_exponent_max": Allowed("1", WEIGHT_EXPONENTS),
    "number_formats.delay_max": Allowed("step", (0, MAX_DELAY - 1)),
    "number_formats.message_bits_max": Allowed("bit", MESSAGE_BITS),
    "number_formats.input_sum_bits": Allowed("bit", (ALIGN_BITS + 1, STATE_BITS)),
    "limits.cores": Allowed("1", (1, _MANY)),
    "limits.neurons_per_core": Allowed("1", (1, _MANY)),
    "limits.synapse_bytes_per_core": Allowed("B", (1, _MANY)),
}
"""What each fact may be, by its key."""


def target_names() -> tuple[str, ...]:
    """Return the names of the targets that ship with neurodeploy."""
    return tuple(sorted(path.stem for path in shipped_folder("targets").glob("*.toml")))


def load_target(target: str | Path | Target) -> Target:
    """Return a target.

    Args:
        target: the name of one that ships with neurodeploy, the path of a TOML file, or the target itself.

    Raises:
        DeployError: there is none of that name, or it states what is no fact, or one that cannot be (with the key).
    """
    if isinstance(target, Target):
        if faults := "; ".join(sentence for _, sentence in _faults(target)):
            raise DeployError(f"this target is refused: {faults}", where=f"target {target.name!r}", fix=_FIX)
        return target
    if not isinstance(target, (str, Path)):
        raise DeployError(
            f"--target is {shortened(target)}, which is not a target",
            where="--target",
            fix="Give the name of a target, a TOML file or a Target.",
        )
    if isinstance(target, Path) or target.endswith(".toml") or "/" in target:
        return read_target(Path(target))
    return _shipped(target)


@cache
def _shipped(name: str) -> Target:
    if name not in target_names():
        raise DeployError(
            f"no target is called {name!r}",
            where="--target",
            fix=f"Choose one of {known(target_names())}, or name a TOML file of your own, ./mychip.toml.",
        )
    return read_target(_shipped_file(name))


def _shipped_file(name: str) -> Path:
    return shipped_folder("targets") / f"{name}.toml"


def read_target(path: Path) -> Target:
    """Return the target that a file describes; with ``extends``, what it leaves out is another's.

    Raises:
        DeployError: it is no TOML, or it states what is no fact, or a fact that cannot be; with the keys and the lines.
    """
    return _read(path, ())[0]


def _read(path: Path, readers: tuple[Path, ...]) -> tuple[Target, dict[str, Any]]:
    """Return a target and its content, ``extends`` resolved; ``readers`` are the files that extend it."""
    text = read_text(path, "a target file", MAX_TARGET_BYTES)
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeployError(
            f"this is not a target file: it is not valid TOML ({error})", where=str(path), fix=_FIX
        ) from error
    if "extends" in content:
        content = _extended(path, text, content, (*readers, path.resolve()))
    try:
        target = Target.model_validate(content)
    except ValidationError as error:
        found = [(one["loc"], in_words(one, _siblings(one["loc"]))) for one in error.errors()]
        raise _refused(path, text, found) from error
    if faults := list(_faults(target)):
        raise _refused(path, text, faults)
    return target, content


def _extended(path: Path, text: str, content: dict[str, Any], readers: tuple[Path, ...]) -> dict[str, Any]:
    """Return a file's content with all that it leaves out taken from the target that it extends."""
    own, other = {key: value for key, value in content.items() if key != "extends"}, content["extends"]
    base = _shipped_file(other) if other in target_names() else path.parent / str(other)
    if not base.is_file() or base.resolve() in readers:
        why = "extends itself" if base.is_file() else f"extends {other!r}, which is neither a target nor a file"
        fix = f"Extend one of {known(target_names())}, or a TOML file, whose path starts at this file's folder."
        raise DeployError(f"this target {why}", where=_where(path, text, [("extends",)]), fix=fix)
    target, inherited = _read(base, readers)
    name = own.get("name", path.stem)
    known_of = {"name": name, "title": f"{name}, after {target.title}"}
    if target.energy.profiles and other in target_names():
        # Measured on the other chip, so they are not figures of this one.
        known_of["energy"] = {"statement": f"{path.name} states no energies.", "profiles_of": other}
    return inherit(inherited, {**known_of, **own}, path.name)


def _siblings(place: Place) -> dict[str, Any]:
    """Return what the table takes in which a key of that place stands."""
    model: Any = Target
    for part in place[:-1]:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else next(iter(get_args(model)), None)
    if not hasattr(model, "model_fields"):
        return {}
    return {**model.model_fields, **({"extends": None} if model is Target else {})}


def _faults(target: Target) -> Iterator[tuple[Place, str]]:
    """Yield which facts cannot be, each with its place."""
    if target.arithmetic not in ARITHMETICS:
        yield ("arithmetic",), f"arithmetic is {target.arithmetic!r}, but it has to be one of {known(ARITHMETICS)}"
    for key, fact in target.facts():
        if fault := ALLOWED[key].fault(key, fact):
            yield tuple(key.split(".")), fault
    most, bits = target.neuron.spikes_per_step_max.value, target.number_formats.message_bits_max.value
    if most > 1 and most >= 1 << max(bits - 1, 0):
        yield (
            ("neuron", "spikes_per_step_max"),
            f"neuron.spikes_per_step_max is {most}, and messages of number_formats.message_bits_max = {bits} bits,"
            f" with the sign, carry at most {max((1 << max(bits - 1, 0)) - 1, 1)}",
        )
    yield from _energy_faults(target)


def _energy_faults(target: Target) -> Iterator[tuple[Place, str]]:
    energy = target.energy
    names = [profile.name for profile in energy.profiles]
    if len(set(names)) < len(names):
        yield ("energy", "profiles"), f"energy.profiles has a name twice: {', '.join(names)}"
    if energy.profiles and energy.profiles_of is not None:
        yield (
            ("energy", "profiles_of"),
            "energy.profiles_of is never read where there are energy.profiles; remove either of the two",
        )
    if not energy.profiles and energy.statement is None:
        yield ("energy",), "energy has neither profiles nor a statement that says why"
    if energy.profiles_of is not None and energy.profiles_of not in target_names():
        yield (
            ("energy", "profiles_of"),
            f"energy.profiles_of is {energy.profiles_of!r}; there are {known(target_names())}",
        )


_FIX = "Correct the file; `neurodeploy targets loihi2` shows every fact with its unit and its source."


def _refused(path: Path, text: str, faults: list[tuple[Place, str]]) -> DeployError:
    sentences = "; ".join(sentence for _, sentence in faults)
    return DeployError(
        f"this target file is refused: {sentences}", where=_where(path, text, [place for place, _ in faults]), fix=_FIX
    )


def _where(path: Path, text: str, places: list[Place]) -> str:
    """Return a file with the lines of some places in it."""
    lines = sorted({line for place in places if (line := line_of(text, place)) is not None})
    if not lines:
        return str(path)
    return f"{path}, line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
