"""A network quantised for one target: integer codes, latencies and where they came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import finite
from neurodeploy.budget import MAX_NEURONS, MAX_NODES, MAX_PROJECTIONS
from neurodeploy.errors import DeployError, counted
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, STATE_BITS, find_arithmetic
from neurodeploy.file_kinds import PROGRAM, check_kind
from neurodeploy.files import existing_file, from_json, read_npz, text_array, text_of, to_json, write_npz
from neurodeploy.ir.codes import (
    CODES,
    EXTRA_CODES,
    MESSAGE_BITS,
    CodedPopulation,
    CodedProjection,
    NeuronModel,
    outside,
    whole_shape,
)
from neurodeploy.ir.decision import Decision, parse_decision
from neurodeploy.ir.host import from_arrays, to_arrays
from neurodeploy.ir.needs import Needy, can, needs_of, refuse_missing
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import RESERVED_NAMES
from neurodeploy.ir.synapses import Shape
from neurodeploy.notebook import Summarised, Summary

FORMAT = "neurodeploy-program"
VERSION = 3
READABLE = (1, 2, 3)
"""Version 1 had plain neurons, binary spikes, dense synapses and convolutions only; version 2 neither neurons that fire
where they meet their threshold, nor populations that help, nor a decision. What they hold means the same."""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Program(Summarised):
    """A network quantised for one target, which emulator, Lava and board run.

    target: name of the chip. arithmetic: ``loihi`` or ``lava``, what it was compiled for.
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
    populations: tuple[CodedPopulation, ...]
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
        if source is not None and not source.model.fires:
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
    def input_limit(self) -> int | None:
        """Register units from which one step's input leaves the register that sums it; None if that is as wide as u."""
        bits = self.number_formats.get("input_sum_bits", STATE_BITS)
        return 1 << (bits - 1) if isinstance(bits, int) and ALIGN_BITS < bits < STATE_BITS else None

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
        return self.population(name).model.fires

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

    def faults(self) -> list[str]:
        """Return all codes that the hardware, or the program's number formats, cannot hold, a sentence each."""
        of_populations = [fault for population in self.populations for fault in population.faults()]
        of_projections = [fault for projection in self.projections for fault in projection.faults()]
        # What is no whole number is compared with nothing else.
        return of_populations + of_projections or self._format_faults()

    def _format_faults(self) -> list[str]:
        """Return which codes are wider than the target of the program has them."""
        formats = self.number_formats
        parts: tuple[CodedPopulation | CodedProjection, ...] = (*self.populations, *self.projections)
        found = []
        for part in parts:
            used = _extents(part)
            found += [
                f"{part.name}: {what} is {used[key]}, {key} of the target is {formats[key]}"
                for key, what in FORMATTED.items()
                if key in used and used[key] > formats.get(key, used[key])
            ]
        return found

    def population(self, name: str) -> CodedPopulation:
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

FORMATTED = {
    "threshold_bits": "the width of threshold codes",
    "bias_mantissa_max": "the largest bias mantissa",
    "bias_exponent_max": "the bias exponent",
    "weight_bits_max": "the width of weights",
    "weight_exponent_max": "the weight exponent",
    "delay_max": "the delay beyond a connection's own step",
    "message_bits_max": "the width of messages",
}
"""What each number format of a target bounds in a program; the widths of state and decay are the arithmetic's own."""


def _extents(part: CodedPopulation | CodedProjection) -> dict[str, int]:
    """Return what a population or a projection takes of the number formats that it has to do with."""
    if isinstance(part, CodedProjection):
        return {
            "weight_bits_max": part.weight_bits,
            "weight_exponent_max": part.exponent,
            "delay_max": part.delay - 1,
            "message_bits_max": part.message_bits,
        }
    thresholds = [codes for codes in (part.threshold_code, part.threshold_low_code) if codes is not None]
    return {
        "threshold_bits": max(int(np.abs(codes.astype(np.int64)).max(initial=0)) for codes in thresholds).bit_length(),
        "bias_mantissa_max": int(np.abs(part.bias_mantissa.astype(np.int64)).max(initial=0)),
        "bias_exponent_max": part.bias_exponent,
    }


_KINDS: dict[type, tuple[str, ...]] = {
    str: ("target", "arithmetic", "dialect", "undecided"),
    dict: ("inputs", "number_formats", "provenance", "message_bits", "input_scale"),
    tuple: ("populations", "projections", "outputs", "warnings", "readouts"),
}

_BROKEN = (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError)
"""What a manifest raises that is not what it should be; the last for sizes that no memory holds."""

CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What a program file keeps of all that programs can need, see :mod:`neurodeploy.ir.needs`.

A new one takes a new ``VERSION``."""

_PLAIN_KEYS = ("name", "shape", "bias_exponent", "latency", "unit", "helps")
"""Of populations, what is neither codes nor a model."""

_SYNAPSE_ARRAYS = ("weight", "indices", "indptr")


def save_program(program: Program, path: Path) -> None:
    """Write a program file; see DESIGN section 4.

    Raises:
        DeployError: the file cannot be written, or would not keep all that the program is.
    """
    refuse_missing(program.parts, CAN, "a program file")
    write_npz(path, _stored(program))


def program_sha256(program: Program) -> str:
    """Return a hash of a program's content, the same before it is saved and after it is read."""
    found = sha256()
    for name, values in sorted(_stored(program).items()):
        plain = values.astype(np.int64) if values.dtype.kind in "iub" else values
        found.update(f"{name} {plain.dtype.str} {plain.shape}".encode())
        found.update(np.ascontiguousarray(plain).tobytes())
    return found.hexdigest()


def _stored(program: Program) -> dict[str, NDArray[Any]]:
    """Return the arrays of a program file."""
    manifest, arrays = _contents(program)
    return {**arrays, "manifest": text_array(to_json(manifest))}


def _contents(program: Program) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a program's manifest and the arrays beside it."""
    arrays: dict[str, NDArray[Any]] = {}
    populations, projections = [], []
    for population in program.populations:
        for key, values in population.arrays().items():
            arrays[f"population/{population.name}/{key}"] = values
        entry = {key: getattr(population, key) for key in _PLAIN_KEYS}
        populations.append({**entry, "model": asdict(population.model)})
    for index, projection in enumerate(program.projections):
        for key in _SYNAPSE_ARRAYS:
            if (values := getattr(projection, key)) is not None:
                arrays[f"projection/{index}/{key}"] = values
        keys = [key for key in projection.__slots__ if key not in _SYNAPSE_ARRAYS]
        projections.append({key: getattr(projection, key) for key in keys})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "populations": populations,
        "projections": projections,
        "latency": program.latency,
        **{key: getattr(program, key) for key in program.__slots__ if key not in ("populations", "projections")},
        "decision": None if program.decision is None else str(program.decision),
        "host": None,
    }
    if program.host is not None:
        manifest["host"], of_host = to_arrays(program.host)
        arrays |= of_host
    return manifest, arrays


def load_program(path: Path) -> Program:
    """Read a program file.

    Raises:
        DeployError: it is no program, of another version, not whole, or holds codes that no register does.
    """
    check_kind(existing_file(path, PROGRAM), PROGRAM)
    arrays = read_npz(path, PROGRAM)
    try:
        manifest = from_json(text_of(arrays["manifest"]))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}")
        if manifest["version"] in READABLE:
            program = _program(manifest, arrays, str(path))
            find_arithmetic(program.arithmetic, str(path))
            _refuse_unread(program, manifest, arrays)
            if faults := program.faults():
                raise ValueError("; ".join(faults))
            return program
    except _BROKEN as error:
        raise DeployError(
            f"this is not a complete program ({type(error).__name__}: {error})",
            where=str(path),
            fix="Compile the model again.",
        ) from error
    raise DeployError(
        f"program version {manifest['version']} is unknown; this version of neurodeploy reads versions {READABLE}",
        where=str(path),
        fix="Compile the model again with this version.",
    )


def _refuse_unread(program: Program, manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Refuse what a file holds beside the program that was read from it; ValueError if there is any."""
    known, read = _contents(program)
    if unread := sorted(set(arrays) - {"manifest", *read}):
        raise ValueError(f"nothing reads the arrays {', '.join(unread)}")
    if unread := sorted(set(manifest) - set(known)):
        raise ValueError(f"nothing reads {', '.join(unread)} of the manifest")


def is_program(path: Path) -> bool:
    """Tell whether a file looks like an ``.npz``, as programs are, rather than an HDF5 model."""
    with open(path, "rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _program(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> Program:
    def found(prefix: str, always: tuple[str, ...], maybe: tuple[str, ...]) -> dict[str, Any]:
        keys = [*always, *(key for key in maybe if f"{prefix}/{key}" in arrays)]
        return {key: _integers(arrays[f"{prefix}/{key}"]) for key in keys}

    shapes = [whole_shape(entry["name"], entry["shape"]) for entry in manifest["populations"]]
    MAX_NODES.check(len(shapes), "the program", where)
    MAX_PROJECTIONS.check(len(manifest["projections"]), "the program", where)
    MAX_NEURONS.check(sum(map(prod, shapes)), "the program", where)
    populations = []
    for entry in manifest["populations"]:
        codes = found(f"population/{entry['name']}", CODES, EXTRA_CODES)
        model = NeuronModel(**entry.pop("model", {}))
        populations.append(CodedPopulation(**entry, **codes, model=model))
    projections = tuple(
        CodedProjection(**entry, **found(f"projection/{index}", ("weight",), ("indices", "indptr")))
        for index, entry in enumerate(manifest["projections"])
    )
    keys = [key for key in Program.__slots__ if key not in ("populations", "projections")]
    fields = {key: manifest[key] for key in keys if key in manifest}
    fields.update({key: tuple(fields.get(key, ())) for key in ("outputs", "warnings", "readouts")})
    if (text := fields.get("decision")) is not None:
        fields["decision"] = parse_decision(text)
    if (host := fields.get("host")) is not None:
        fields["host"] = from_arrays(host, arrays)
    return Program(**fields, populations=tuple(populations), projections=projections)


def _integers(array: NDArray[Any]) -> NDArray[Any]:
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes must be integers, got {array.dtype}")
    return array
