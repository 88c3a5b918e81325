"""Program files: integer arrays and a manifest, whatever the chip family."""

from __future__ import annotations

from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_NEURONS, MAX_NODES, MAX_PROJECTIONS
from neurodeploy.errors import DeployError, known
from neurodeploy.families import family_names, find_family
from neurodeploy.file_kinds import PROGRAM, check_kind
from neurodeploy.files import existing_file, from_json, read_npz, text_array, text_of, to_json, write_npz
from neurodeploy.ir.codes import CodedProjection, whole_shape
from neurodeploy.ir.decision import parse_decision
from neurodeploy.ir.host import from_arrays, to_arrays
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.program import Program

FORMAT = "neurodeploy-program"
VERSION = 4
READABLE = (1, 2, 3, 4)
"""Version 1 had plain neurons, binary spikes, dense synapses and convolutions only; version 2 neither neurons that fire
where they meet their threshold, nor populations that help, nor a decision; version 3 and those before no
family, which is Loihi. What they hold means the same."""

_BROKEN = (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError)
"""What a manifest raises that is not what it should be; the last for sizes that no memory holds."""

CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What a program file keeps of all that programs can need, see :mod:`neurodeploy.ir.needs`.

A new one takes a new ``VERSION``."""

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
        populations.append(population.entry())
    for index, projection in enumerate(program.projections):
        for key in _SYNAPSE_ARRAYS:
            if (values := getattr(projection, key)) is not None:
                arrays[f"projection/{index}/{key}"] = values
        keys = [key for key in projection.__slots__ if key not in _SYNAPSE_ARRAYS]
        projections.append({key: getattr(projection, key) for key in keys})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "family": program.family,
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
            family = find_family(program.family)
            family.check_arithmetic(program.arithmetic, str(path))
            _refuse_unread(program, manifest, arrays)
            if faults := family.program_faults(program):
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
    if (name := manifest.get("family", "loihi")) not in family_names():
        raise ValueError(f"its chip family is {name!r}, and there are {known(family_names())}")
    kind = find_family(name).population
    shapes = [whole_shape(entry["name"], entry["shape"]) for entry in manifest["populations"]]
    MAX_NODES.check(len(shapes), "the program", where)
    MAX_PROJECTIONS.check(len(manifest["projections"]), "the program", where)
    MAX_NEURONS.check(sum(map(prod, shapes)), "the program", where)
    populations = [
        kind.of_file(entry, _Stored(arrays, f"population/{entry['name']}/")) for entry in manifest["populations"]
    ]
    projections = tuple(
        CodedProjection(**entry, **_synapses(_Stored(arrays, f"projection/{index}/")))
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


class _Stored(dict[str, NDArray[Any]]):
    """The integer arrays of a part of a program, by their names in it; KeyError with the whole name where one lacks."""

    def __init__(self, arrays: dict[str, NDArray[Any]], prefix: str) -> None:
        own = {name: values for name, values in arrays.items() if name.startswith(prefix)}
        super().__init__({name.removeprefix(prefix): _integers(values) for name, values in own.items()})
        self.prefix = prefix

    def __missing__(self, key: str) -> NDArray[Any]:
        raise KeyError(self.prefix + key)


def _synapses(stored: _Stored) -> dict[str, Any]:
    """Return the arrays of a projection."""
    return {"weight": stored["weight"], **{key: stored[key] for key in ("indices", "indptr") if key in stored}}


def _integers(array: NDArray[Any]) -> NDArray[Any]:
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes must be integers, got {array.dtype}")
    return array
