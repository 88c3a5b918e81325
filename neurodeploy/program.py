"""A network quantised for one target: integer codes, latencies and where they came from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import DECAY_BITS, STATE_LIMIT, find_arithmetic
from neurodeploy.arrays import frozen_array
from neurodeploy.errors import DeployError
from neurodeploy.files import read_npz, text_array, to_json, write_npz
from neurodeploy.synapses import Conv2d, Pair, Shape

FORMAT = "neurodeploy-program"
VERSION = 1
SIGN_MODES = ("mixed", "excitatory", "inhibitory")
_CODES = ("du", "dv", "threshold_code", "bias_mantissa", "u_init", "v_init")

CODE_RANGES = {
    "du": (0, 2**DECAY_BITS - 1),
    "dv": (0, 2**DECAY_BITS - 1),
    "threshold_code": (0, 131071),
    "bias_mantissa": (-4096, 4095),
    "u_init": (1 - STATE_LIMIT, STATE_LIMIT),
    "v_init": (1 - STATE_LIMIT, STATE_LIMIT - 1),
}
"""What the registers of a neuron hold. Source: lava-nc 0.10.0, ``lava.proc.lif.models.PyLifModelBitAcc``, which
checks none of it."""

BIAS_EXPONENTS = (0, 7)
WEIGHT_EXPONENTS = (0, 7)
WEIGHT_RANGES = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
"""Of each sign mode. Source: lava-nc 0.10.0, ``lava.utils.weightutils.clip_weights``."""

MAX_DELAY = 63
"""Hardware steps of a connection: its own and 62 more."""

MAX_LATENCY = 10_000


@dataclass(frozen=True, eq=False, slots=True)
class CodedPopulation:
    """Integer codes of a population; every array is int32 (n,) in C order over ``shape``.

    du, dv: decay codes; u keeps ``(4096 - (du + 1)) / 4096`` of itself in a step, v keeps ``(4096 - dv) / 4096``.
    threshold_code: the neuron fires when ``v > threshold_code << 6``.
    bias_mantissa, bias_exponent: ``bias_mantissa << bias_exponent`` is added to v in each step, in register units.
    u_init, v_init: registers before the first hardware step of every sample.
    latency: hardware step (from 0) of the model's row 0.
    unit: register units per volt of the float model.
    """

    name: str
    shape: Shape
    du: NDArray[Any]
    dv: NDArray[Any]
    threshold_code: NDArray[Any]
    bias_mantissa: NDArray[Any]
    bias_exponent: int
    u_init: NDArray[Any]
    v_init: NDArray[Any]
    latency: int
    unit: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        for key in _CODES:
            object.__setattr__(self, key, frozen_array(_fitting(getattr(self, key), np.int32), np.int32, (self.size,)))

    @property
    def size(self) -> int:
        """How many neurons there are."""
        return prod(self.shape)

    def faults(self) -> list[str]:
        """Return which codes no register holds, a sentence each."""
        found = []
        for key, (low, high) in CODE_RANGES.items():
            codes = getattr(self, key)
            if codes.size and (codes.min() < low or codes.max() > high):
                found.append(f"{self.name}: {key} is {codes.min()} to {codes.max()}, registers hold {low} to {high}")
        single = {"bias_exponent": (self.bias_exponent, BIAS_EXPONENTS), "latency": (self.latency, (0, MAX_LATENCY))}
        return found + [f"{self.name}: {fault}" for fault in _outside(single)]


@dataclass(frozen=True, eq=False, slots=True)
class CodedProjection:
    """Integer synapses from a population or an input to a population.

    weight: int16, dense ``(n_out, n_in)`` or convolution ``(c_out, c_in / groups, h, w)`` as torch has it; already
        clipped to the sign mode's range and truncated to ``weight_bits``.
    exponent: the weight counts ``weight << exponent``; never negative, so that both arithmetics agree.
    sign_mode: ``mixed``, ``excitatory`` or ``inhibitory``.
    delay: hardware steps from a spike to its arrival, at least 1.
    stride, padding, dilation, groups: of a convolution; ``None`` for dense synapses.
    """

    source: str
    target: str
    weight: NDArray[Any]
    exponent: int
    weight_bits: int
    sign_mode: str
    delay: int
    stride: Pair | None = None
    padding: Pair | None = None
    dilation: Pair | None = None
    groups: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen_array(_fitting(self.weight, np.int16), np.int16))
        if self.sign_mode not in SIGN_MODES:
            raise ValueError(f"{self.name} has sign mode {self.sign_mode!r}, which is none of {SIGN_MODES}")
        if not self.delay >= 1:
            raise ValueError(f"{self.name} has a delay of {self.delay} steps, a connection takes at least 1")
        if self.weight.ndim != (4 if self.is_conv else 2):
            raise ValueError(f"{self.name} has weights of shape {self.weight.shape}")
        for key in ("stride", "padding", "dilation"):
            if (pair := getattr(self, key)) is not None:
                object.__setattr__(self, key, (int(pair[0]), int(pair[1])))

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.source} -> {self.target}"

    @property
    def is_conv(self) -> bool:
        """Whether the weights are a convolution's."""
        return self.stride is not None

    def faults(self) -> list[str]:
        """Return what no synapse holds, a sentence each."""
        single = {
            "weight_bits": (self.weight_bits, (1, 8)),
            "exponent": (self.exponent, WEIGHT_EXPONENTS),
            "delay": (self.delay, (1, MAX_DELAY)),
        }
        found = _outside(single)
        low, high = WEIGHT_RANGES[self.sign_mode]
        if self.weight.size and (self.weight.min() < low or self.weight.max() > high):
            found.append(
                f"weights are {self.weight.min()} to {self.weight.max()}, {self.sign_mode} ones are {low} to {high}"
            )
        if self.weight_bits in range(1, 9):
            step = 1 << (8 - self.weight_bits + (self.sign_mode == "mixed"))
            if (self.weight % step).any():
                found.append(f"weights are no multiples of {step}, to which {self.weight_bits} bits truncate them")
        return [f"{self.name}: {fault}" for fault in found]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if not self.is_conv:
            if prod(shape) != self.weight.shape[1]:
                raise ValueError(f"takes {self.weight.shape[1]} inputs, got shape {shape}")
            return (self.weight.shape[0],)
        return self.conv().output_shape(shape)

    def conv(self) -> Conv2d:
        """Return the same convolution in float, for shapes and reference arithmetic."""
        assert self.stride and self.padding is not None and self.dilation and self.groups
        return Conv2d(self.weight, None, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """What emulator, Lava and board run.

    target: name of the chip. arithmetic: ``loihi`` or ``lava``, what it was compiled for.
    inputs: shape of each input, by name. outputs: populations that are read.
    dt: seconds per step of the model. dialect: what the model was trained with.
    number_formats: widths and ranges of the target that the codes respect, by name.
    warnings: what can go wrong, or could not be matched, one sentence each.
    provenance: versions, hash of the model, options; JSON-ready.
    placement: cores by population, or None where the program is not placed on cores.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", {name: tuple(shape) for name, shape in self.inputs.items()})
        sizes = {name: prod(shape) for name, shape in self.shapes.items()}
        for projection in self.projections:
            out = prod(projection.output_shape(self.shapes[projection.source]))
            if out != sizes[projection.target]:
                raise ValueError(
                    f"{projection.name} reaches {out} neurons, the population has {sizes[projection.target]}"
                )
        for name in self.outputs:
            self.population(name)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every input and population, by name."""
        return {**self.inputs, **{population.name: population.shape for population in self.populations}}

    @property
    def latency(self) -> dict[str, int]:
        """Hardware steps by which the model's rows come later, by population."""
        return {population.name: population.latency for population in self.populations}

    @property
    def max_latency(self) -> int:
        """Hardware steps that a run takes beyond the rows of its input."""
        return max(self.latency.values(), default=0)

    def faults(self) -> list[str]:
        """Return all codes that the hardware's registers and synapses cannot hold, a sentence each."""
        of_populations = [fault for population in self.populations for fault in population.faults()]
        return of_populations + [fault for projection in self.projections for fault in projection.faults()]

    def population(self, name: str) -> CodedPopulation:
        """Return the population called ``name``; KeyError if there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)


def save_program(program: Program, path: Path) -> None:
    """Write a program file; see DESIGN section 4.

    Raises:
        DeployError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    populations, projections = [], []
    for population in program.populations:
        for key in _CODES:
            arrays[f"population/{population.name}/{key}"] = getattr(population, key)
        populations.append(
            {key: getattr(population, key) for key in ("name", "shape", "bias_exponent", "latency", "unit")}
        )
    for index, projection in enumerate(program.projections):
        arrays[f"projection/{index}/weight"] = projection.weight
        keys = [key for key in projection.__slots__ if key != "weight"]
        projections.append({key: getattr(projection, key) for key in keys})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "populations": populations,
        "projections": projections,
        "latency": program.latency,
        **{key: getattr(program, key) for key in program.__slots__ if key not in ("populations", "projections")},
    }
    arrays["manifest"] = text_array(to_json(manifest))
    write_npz(path, arrays)


def load_program(path: Path) -> Program:
    """Read a program file.

    Raises:
        DeployError: it is no program, of another version, not whole, or holds codes that no register does.
    """
    arrays = read_npz(path, "a program")
    try:
        manifest = json.loads(str(arrays["manifest"][()]))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}")
        if manifest["version"] == VERSION:
            program = _program(manifest, arrays)
            find_arithmetic(program.arithmetic, str(path))
            if faults := program.faults():
                raise ValueError("; ".join(faults))
            return program
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise DeployError(
            f"this is not a whole program ({type(error).__name__}: {error})",
            where=str(path),
            fix="Compile the model again.",
        ) from error
    raise DeployError(
        f"program version {manifest['version']} is unknown; this neurodeploy reads version {VERSION}",
        where=str(path),
        fix="Compile the model again with this version.",
    )


def is_program(path: Path) -> bool:
    """Tell whether a file looks like an ``.npz``, as programs are, rather than an HDF5 model."""
    with open(path, "rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _program(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Program:
    def codes(name: str) -> dict[str, Any]:
        return {key: _integers(arrays[f"population/{name}/{key}"]) for key in _CODES}

    populations = tuple(CodedPopulation(**entry, **codes(entry["name"])) for entry in manifest["populations"])
    projections = tuple(
        CodedProjection(**entry, weight=_integers(arrays[f"projection/{index}/weight"]))
        for index, entry in enumerate(manifest["projections"])
    )
    keys = [key for key in Program.__slots__ if key not in ("populations", "projections")]
    fields = {key: manifest[key] for key in keys}
    fields.update(outputs=tuple(fields["outputs"]), warnings=tuple(fields["warnings"]))
    return Program(**fields, populations=populations, projections=projections)


def _outside(values: dict[str, tuple[Any, tuple[int, int]]]) -> list[str]:
    """Return which single values are no whole numbers within their range."""
    return [
        f"{key} is {value!r}, it is a whole number from {low} to {high}"
        for key, (value, (low, high)) in values.items()
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not low <= value <= high
    ]


def _fitting(values: Any, dtype: type[np.integer[Any]]) -> Any:
    """Return values if the dtype holds them, so that none wraps in silence."""
    array, info = np.asarray(values), np.iinfo(dtype)
    if array.size and (array.min() < info.min or array.max() > info.max):
        raise ValueError(f"codes of {array.min()} to {array.max()} do not fit {info.dtype}")
    return values


def _integers(array: NDArray[Any]) -> NDArray[Any]:
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes must be integers, got {array.dtype}")
    return array
