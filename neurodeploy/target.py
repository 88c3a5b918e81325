"""Facts about a chip, each with unit, kind and source, from ``targets/<name>.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from neurodeploy.errors import DeployError, known
from neurodeploy.files import read_text
from neurodeploy.shipped import shipped_folder

Kind = Literal["tested", "published", "secondary", "inferred"]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Number(_Facts):
    """A count or width: value in ``unit``, how we know it, and from where."""

    value: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    unit: str
    kind: Kind
    source: str


class Choice(_Facts):
    """A property that is no number, how we know it, and from where."""

    value: str | list[str]
    unit: str
    kind: Kind
    source: str


class Flag(_Facts):
    """Whether a chip can do something, how we know it, and from where."""

    value: bool
    unit: str
    kind: Kind
    source: str


class NeuronFacts(_Facts):
    """What the chip's neurons do, or can be programmed to do.

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
    """Widths and ranges of the integer codes."""

    state_bits: Number
    decay_bits: Number
    threshold_bits: Number
    bias_mantissa_max: Number
    bias_exponent_max: Number
    weight_bits_max: Number
    weight_exponent_max: Number
    delay_max: Number
    message_bits_max: Number

    def values(self) -> dict[str, int]:
        """Return the bare numbers by name, as programs carry them."""
        return {name: getattr(self, name).value for name in type(self).model_fields}


class Limits(_Facts):
    """What one chip holds."""

    cores: Number
    neurons_per_core: Number
    synapse_bytes_per_core: Number


class EnergyProfile(_Facts):
    """Energy per event, J.

    synop: per weight delivered. neuron_active, neuron_inactive: per neuron and step, all in all.
    spike: on top, per spike fired. spike_message: per spike and destination.
    """

    name: str
    title: str
    source: str
    kind: Kind
    basis: str
    synop: float
    neuron_active: float
    neuron_inactive: float
    spike: float = 0.0
    spike_message: float = 0.0
    relative_uncertainty: float = 0.0


class Energy(_Facts):
    """Published energy profiles, or the statement that there are none and whose profiles are shown instead."""

    profiles: list[EnergyProfile] = Field(default_factory=list)
    statement: str | None = None
    profiles_of: str | None = None


class Target(_Facts):
    """A chip."""

    name: str
    title: str
    arithmetic: str
    neuron: NeuronFacts
    number_formats: NumberFormats
    limits: Limits
    energy: Energy


def target_names() -> tuple[str, ...]:
    """Return the names of the targets that ship with neurodeploy."""
    return tuple(sorted(path.stem for path in shipped_folder("targets").glob("*.toml")))


@cache
def load_target(name: str) -> Target:
    """Return the target called ``name``.

    Raises:
        DeployError: there is none of that name, or its file breaks the schema (with the key).
    """
    if name not in target_names():
        raise DeployError(
            f"no target is called {name!r}", where="--target", fix=f"Choose one of {known(target_names())}."
        )
    return read_target(shipped_folder("targets") / f"{name}.toml")


def read_target(path: Path) -> Target:
    """Return the target that a file describes.

    Raises:
        DeployError: the file breaks the schema (with the key).
    """
    try:
        content: dict[str, Any] = tomllib.loads(read_text(path, "a target"))
        return Target.model_validate(content)
    except (ValueError, RecursionError) as error:
        raise DeployError(
            f"the target file is not valid: {error}", where=str(path), fix="See targets/loihi1.toml."
        ) from error
