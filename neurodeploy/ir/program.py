"""A network quantised for one target: integer codes, latencies and where they came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from typing import Any, Generic

from typing_extensions import TypeVar

from neurodeploy.arrays import finite
from neurodeploy.errors import DeployError, counted
from neurodeploy.ir.codes import MESSAGE_BITS, CodedPopulation, CodedProjection, outside, whole_shape
from neurodeploy.ir.decision import Decision
from neurodeploy.ir.needs import Needy, needs_of
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import RESERVED_NAMES
from neurodeploy.ir.synapses import Shape
from neurodeploy.notebook import Summarised, Summary

P_co = TypeVar("P_co", bound=CodedPopulation, covariant=True, default=CodedPopulation)
"""The populations of a chip family."""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Program(Summarised, Generic[P_co]):
    """A network quantised for one target, which the emulator, vendors' simulators and boards run.

    target: name of the chip. arithmetic: of those that the chip family has, what it was compiled for.
    inputs: shape of each input, by name. outputs: populations that are read.
    message_bits: width, with the sign, of the whole numbers that a graded input sends, by name; others send spikes.
    input_scale: by what a graded input's values are multiplied before they are rounded to whole numbers, by name.
    dt: seconds per step of the model. dialect: what the model was trained with.
    number_formats: widths and ranges of the target that the codes respect, by name.
    warnings: what can go wrong, or could not be matched, one sentence each.
    provenance: versions, hash of the model, options; JSON-ready.
    placement: cores by population, or None where the program is not placed on cores.
    decision: how a sample is decided, or None where nobody said it.
    readouts: what the trained model returns, ``NAME`` or ``NAME.v``; the outputs where empty.
    undecided: as :class:`neurodeploy.ir.network.Network` has it.
    host: layers that run in float before the chip, whose spikes are inputs, or None; see :mod:`neurodeploy.ir.host`.
    """

    target: str
    arithmetic: str
    inputs: dict[str, Shape]
    populations: tuple[P_co, ...]
    projections: tuple[CodedProjection, ...]
    outputs: tuple[str, ...]
    dt: float
    dialect: str
    number_formats: dict[str, int]
    warnings: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    placement: dict[str, Any] | None = None
    message_bits: dict[str, int] = field(default_factory=dict)
    input_scale: dict[str, float] = field(default_factory=dict)
    decision: Decision | None = None
    readouts: tuple[str, ...] = ()
    undecided: str = ""
    host: Network | None = None

    def __post_init__(self) -> None:
        self._check_types()
        object.__setattr__(self, "inputs", {name: whole_shape(name, shape) for name, shape in self.inputs.items()})
        self._check_names()
        self._check_numbers()
        shapes = self.shapes
        for projection in self.projections:
            out, size = prod(projection.output_shape(shapes[projection.source])), prod(shapes[projection.target])
            if out != size:
                raise ValueError(f"{projection.name} reaches {out} neurons, but the population has {size}")
            self._check_messages(projection)

    def _check_types(self) -> None:
        """Refuse fields of another kind, as a file's manifest may hold them."""
        for kind, keys in _KINDS.items():
            for key in keys:
                if not isinstance(getattr(self, key), kind):
                    raise ValueError(
                        f"{key} is a {type(getattr(self, key)).__name__}, but it must be a {kind.__name__}"
                    )
        if wrong := [warning for warning in self.warnings if not isinstance(warning, str)]:
            raise ValueError(f"warnings are sentences, not {wrong}")
        if len(families := {population.family for population in self.populations}) > 1:
            raise ValueError(f"populations are of several chip families: {sorted(families)}")
        if self.placement is not None and not isinstance(self.placement, dict):
            raise ValueError(f"placement is a {type(self.placement).__name__}, but it must be a dict or None")

    def _check_names(self) -> None:
        """Refuse names that are taken twice, unknown, or of no use in files."""
        populations = {population.name for population in self.populations}
        names = Counter([*self.inputs, *(population.name for population in self.populations)])
        if not self.inputs:
            raise ValueError("there is no input, and the input says how many steps and samples run")
        for name in names:
            if not isinstance(name, str) or "/" in name or name in RESERVED_NAMES:
                raise ValueError(f"{name!r} cannot name an input or a population; no '/', and none of {RESERVED_NAMES}")
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"{twice} name more than one input or population")
        for projection in self.projections:
            if projection.source not in names:
                raise ValueError(f"{projection.name} starts at {projection.source!r}, which does not exist")
            if projection.target not in populations:
                raise ValueError(f"{projection.name} ends at {projection.target!r}, which is not a population")
        if unknown := [name for name in self.outputs if name not in populations]:
            raise ValueError(f"outputs {unknown} are not populations")
        if unknown := sorted((set(self.message_bits) | set(self.input_scale)) - set(self.inputs)):
            raise ValueError(f"message bits or scales are given for {unknown}, which are not inputs")

    def _check_numbers(self) -> None:
        """Refuse a step, widths and scales that are no such numbers."""
        if not finite(self.dt):
            raise ValueError(f"dt is {self.dt!r}, but it must be a finite number")
        limits = (1, MESSAGE_BITS[1])
        if faults := outside({f"message_bits of {name}": (bits, limits) for name, bits in self.message_bits.items()}):
            raise ValueError("; ".join(faults))
        for name, scale in self.input_scale.items():
            if not finite(scale) or not scale > 0:
                raise ValueError(f"input_scale of {name} is {scale!r}, but it must be a finite number above 0")

    def _check_messages(self, projection: CodedProjection) -> None:
        """Refuse a projection that takes graded spikes for plain ones, or the other way round."""
        name = projection.source
        source = None if name in self.inputs else self.population(name)
        if source is not None and not source.fires:
            raise ValueError(f"{projection.name} starts at an integrator, which sends nothing")
        graded = name in self.message_bits if source is None else source.is_graded
        if graded != (projection.message_bits > 0):
            raise ValueError(
                f"{projection.name} has {projection.message_bits} message bits, but its source sends "
                f"{'graded' if graded else 'plain'} spikes"
            )

    def summary(self) -> Summary:
        """Return what a terminal or a notebook shows of it."""
        rows = tuple((p.name, p.shape, p.size, p.latency) for p in self.populations)
        n_neurons = counted(sum(p.size for p in self.populations), "neuron")
        n_codes = counted(sum(p.weight.size for p in self.projections), "weight")
        line = f"{n_neurons} and {n_codes} for {self.target}, {self.arithmetic} arithmetic"
        return Summary(line, ("population", "shape", "neurons", "rows come late by (steps)"), rows)

    @property
    def family(self) -> str:
        """Name of the chip family whose registers these are; Loihi's where there are none."""
        return self.populations[0].family if self.populations else "loihi"

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every input and population, by name."""
        return {**self.inputs, **{population.name: population.shape for population in self.populations}}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the populations that the model has, too; the others help these to keep its time."""
        return tuple(population.name for population in self.populations if not population.helps)

    @property
    def latency(self) -> dict[str, int]:
        """Hardware steps by which the model's rows come later, by population."""
        return {population.name: population.latency for population in self.populations}

    @property
    def max_latency(self) -> int:
        """Hardware steps that a run takes beyond the rows of its input."""
        return max(self.latency.values(), default=0)

    def fires(self, name: str) -> bool:
        """Tell whether population ``name`` sends spikes; one that does not is read as a value."""
        return self.population(name).fires

    def is_graded(self, name: str) -> bool:
        """Tell whether what population ``name`` sends can be other than 0 and 1."""
        return self.population(name).is_graded

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"program for {self.target}"

    @property
    def parts(self) -> tuple[Needy, ...]:
        """All that can need something of whoever computes with it."""
        return (*self.populations, *self.projections, self)

    def needs(self) -> frozenset[str]:
        """Return what it needs beyond its populations and projections; see :mod:`neurodeploy.ir.needs`."""
        return needs_of(self, {}, _PLAIN_FIELDS)

    def population(self, name: str) -> P_co:
        """Return the population called ``name``; KeyError if there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)


_PLAIN_FIELDS = (
    "target", "arithmetic", "inputs", "populations", "projections", "outputs", "dt", "dialect", "number_formats",
    "warnings", "provenance", "placement", "message_bits", "input_scale", "decision", "readouts", "undecided",
)  # fmt: skip
"""What everybody reads, or nobody computes with; messages are a need of projections."""

_KINDS: dict[type, tuple[str, ...]] = {
    str: ("target", "arithmetic", "dialect", "undecided"),
    dict: ("inputs", "number_formats", "provenance", "message_bits", "input_scale"),
    tuple: ("populations", "projections", "outputs", "warnings", "readouts"),
}


def refuse_faults(faults: list[str], program: Program, backend: str, fix: str) -> None:
    """Refuse a program with faults.

    Args:
        faults: what is wrong with it, a sentence each, or nothing.
        program: the program.
        backend: what cannot run it, as the message begins.
        fix: what to do about it.

    Raises:
        DeployError: there are faults; it names them all.
    """
    if faults:
        raise DeployError(
            f"{backend} cannot run this program: " + "; ".join(faults),
            where=f"program for target {program.target}",
            fix=fix,
        )
