"""Files of every kind, how they are mutated, and how they are read."""

from __future__ import annotations

import copy
import io
import json
import os
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.program import loihi_program
from neurodeploy.finetuning.options import Training
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions

DT = 1e-4
SHAPE = (2, 5, 5)
ODD_NUMBERS = (0, -1, 1, 2, 3, 0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"), 255, 2**15, 2**31, 2**63)
ODD_TEXTS = ("", "a", "1", "\x00", "é\u2028", "../x")
ODD: tuple[Any, ...] = (*ODD_NUMBERS, *ODD_TEXTS, -(2**40), 10**400, [], [[]], {}, None, True, [1, 2], {"a": 1})


@dataclass(frozen=True, slots=True)
class Base:
    """Sound files from which the mutated ones are made.

    files: content by kind. folder: where they lie.
    """

    files: dict[str, bytes]
    folder: Path

    def path(self, kind: str) -> Path:
        """Return the sound file of a kind."""
        return self.folder / kind


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    said: mutates what the file says: (content, rng) to content. read: reads it as the command line does.
    """

    said: Callable[[bytes, np.random.Generator], bytes]
    read: Callable[[Path, Base], object]

    def mutated(self, content: bytes, rng: np.random.Generator) -> bytes:
        """Return a mutated file: two of three times in what it says, else in its bytes."""
        if rng.random() < 0.67:
            with suppress(Exception):  # what no library writes is no case
                return self.said(content, rng)
        return mutate_bytes(content, rng)


def mutate_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with some flipped, cut, doubled, or set to what programs like to trip over."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if not data:
            break
        place, n = int(rng.integers(len(data))), int(rng.integers(1, 65))
        match int(rng.integers(6)):
            case 0:
                data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, ord("["), ord("{"), ord('"'), ord("9")]))
            case 2:
                del data[place : place + n]
            case 3:
                data[place:place] = data[place : place + n] * int(rng.choice([1, 2, 100]))
            case 4:
                data[place : place + n] = rng.integers(0, 256, n, np.uint8).tobytes()
            case 5 if rng.random() < 0.2:
                del data[place:]
    return bytes(data)


def pick(rng: np.random.Generator, values: Any) -> Any:
    """Return one of some values as it is."""
    return values[int(rng.integers(len(values)))]


MOST_VALUES = 300_000
"""Of a mutated tree that grows; to make a larger one takes longer than to read it."""


def mutate_tree(tree: Any, rng: np.random.Generator) -> Any:
    """Return nested lists and dictionaries with a value that is odd, gone, doubled, nested, or under another key."""
    tree = copy.deepcopy(tree)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(tree))
        if not places:
            return pick(rng, ODD)
        holder, key = pick(rng, places)
        match int(rng.integers(7)):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[str(pick(rng, ODD))] = holder[key]
            case 2:
                holder[key] = [holder[key]] * min(int(pick(rng, (1, 2, 3000))), 1 + MOST_VALUES // len(places))
            case 3:
                deep: Any = holder[key]
                for _ in range(int(pick(rng, (2, 40, 500)))):
                    deep = [deep]
                holder[key] = deep
            case 4:
                holder[key] = copy.deepcopy(pick(rng, [h[k] for h, k in places]))
            case _:
                holder[key] = copy.deepcopy(pick(rng, ODD))
    return tree


def _places(tree: Any) -> Any:
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def mutate_array(array: Any, rng: np.random.Generator) -> Any:
    """Return an array of another type, shape, or with odd values."""
    array = np.array(array)
    if array.dtype.kind in "SU" or rng.random() < 0.15:
        return np.array(pick(rng, (*ODD_NUMBERS, "a", "", b"\xff", True, [1.0, 2.0], [["a"]], [], 1j)))
    match int(rng.integers(7)):
        case 0:
            return array.astype(pick(rng, (np.uint8, np.int64, np.float16, np.float64, bool, complex, "S3", "U2")))
        case 1:
            return array[..., np.newaxis] if rng.random() < 0.5 else array.reshape(-1)
        case 2:
            return array[: int(rng.integers(0, len(array) + 1))] if array.ndim else array
        case 3:
            return np.concatenate([array, array]) if array.ndim else np.stack([array] * 3)
        case 4:
            return np.swapaxes(array, 0, -1) if array.ndim > 1 else array * pick(rng, (-1, 0, 1000))
        case 5:
            return np.full(tuple(pick(rng, (0, 1, 2, 7)) for _ in array.shape) or (3,), pick(rng, ODD_NUMBERS))
        case _:
            array = array.astype(np.float64) if rng.random() < 0.5 else array
            if array.size:
                with np.errstate(all="ignore"):
                    flat = array.reshape(-1)
                    number = pick(rng, ODD_NUMBERS)
                    with_number = np.array([number]).astype(array.dtype, casting="unsafe")
                    flat[rng.integers(0, flat.size, int(rng.integers(1, 4)))] = with_number
                    if rng.random() < 0.3:
                        flat[:] = with_number
            return array


def mutate_npz(content: bytes, rng: np.random.Generator) -> bytes:
    """Return an ``.npz`` with an array mutated, gone, doubled or renamed, or its JSON text mutated."""
    with np.load(io.BytesIO(content)) as opened:
        arrays = {name: opened[name] for name in opened.files}
    for _ in range(int(rng.integers(1, 4))):
        name = pick(rng, sorted(arrays)) if arrays else "x"
        if name in ("meta", "manifest") or (rng.random() < 0.4 and {"meta", "manifest"} & set(arrays)):
            name = "meta" if "meta" in arrays else "manifest" if "manifest" in arrays else name
            if name in ("meta", "manifest"):
                arrays[name] = _mutated_json(arrays[name], rng)
                continue
        match int(rng.integers(6)):
            case 0:
                arrays.pop(name, None)
            case 1:
                arrays[f"{name}x"] = arrays.get(name, np.zeros(1))
            case 2:
                arrays[pick(rng, ("a/b/c", "/", "", "counters/x", "y", "x/in", "t", "unit", "meta"))] = np.zeros(3)
            case _:
                arrays[name] = mutate_array(arrays.get(name, np.zeros(1)), rng)
    stream = io.BytesIO()
    packing = pick(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(values))
    return stream.getvalue()


def _mutated_json(array: Any, rng: np.random.Generator) -> Any:
    text = str(array)
    try:
        text = json.dumps(mutate_tree(json.loads(text), rng))
    except ValueError:
        return np.array(text[::2])
    return np.array(text if rng.random() < 0.9 else mutate_bytes(text.encode(), rng).decode(errors="replace"))


def mutate_yaml(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a plan with odd values, tags or aliases."""
    text = yaml.safe_dump(mutate_tree(yaml.safe_load(content), rng))
    if rng.random() < 0.3:
        words = text.split(" ")
        odd = ("!!int", "!!bool", "!!float", "!!timestamp", "!!binary", "!!set", "&a", "*a", "<<:", "!!python/name:os")
        words.insert(int(rng.integers(len(words))), pick(rng, odd))
        text = " ".join(words)
    return text.encode()


def mutate_toml(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a target with odd values."""
    return "\n".join(_toml(mutate_tree(tomllib.loads(content.decode()), rng))).encode(errors="replace")


def _toml(tree: Any) -> list[str]:
    if not isinstance(tree, dict):
        return [f"x = {_toml_value(tree)}"]
    return [f"{json.dumps(key)} = {_toml_value(value)}" for key, value in tree.items() if value is not None]


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(_toml(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value if item is not None) + "]"
    return repr(value).lower() if isinstance(value, (bool, float)) else json.dumps(value)


def mutate_nir(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a NIR file with data sets mutated, gone or claiming much, nodes of other types, and edges rewired."""
    import h5py

    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        for _ in range(int(rng.integers(1, 4))):
            names: list[str] = []
            file.visit(names.append)
            name = pick(rng, names)
            match int(rng.integers(10)):
                case 0:
                    del file[name]
                case 1 if isinstance(file[name], h5py.Dataset):
                    parent = file[name].parent
                    parent[pick(rng, ("tau", "w_in", "padding", "shape", "x", "a.b", "weight"))] = file[name][()]
                case 2:
                    _rewire(file, rng)
                case 3:
                    types = [n for n in names if n.endswith("/type")]
                    if types:
                        kinds = ("LIF", "CubaLIF", "IF", "Conv1d", "Scale", "NIRGraph", "Delay")
                        _put(file, pick(rng, types), pick(rng, kinds))
                case 4 if "node/metadata/neurodeploy" in file:
                    text = file["node/metadata/neurodeploy"][()]
                    _put(file, "node/metadata/neurodeploy", str(_mutated_json(text.decode(), rng)))
                case 5:
                    del file[name]
                    shape = tuple(int(pick(rng, (1, 2, 1000, 10**5))) for _ in range(int(rng.integers(1, 3))))
                    dtype = pick(rng, ("f4", "f8", "i1", "?"))
                    file.create_dataset(name, shape, dtype, chunks=True, compression="gzip")
                case _ if isinstance(file[name], h5py.Dataset):
                    _put(file, name, mutate_array(_readable(file[name][()]), rng))
                case _:
                    pass
    return stream.getvalue()


def _readable(value: Any) -> Any:
    return np.array(value, dtype="S") if isinstance(value, bytes) or np.asarray(value).dtype.kind == "O" else value


def _put(file: Any, name: str, value: Any) -> None:
    if name in file:
        del file[name]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        value = value.astype("S")
    try:
        file[name] = value
    except (TypeError, ValueError):
        file[name] = 0


def _rewire(file: Any, rng: np.random.Generator) -> None:
    import h5py

    if not isinstance(file.get("node/edges"), h5py.Dataset) or not isinstance(file.get("node/nodes"), h5py.Group):
        return
    names = [*file["node/nodes"], "ghost"]
    edges = [(pick(rng, names), pick(rng, names)) for _ in range(int(rng.integers(0, 9)))]
    with suppress(ValueError, TypeError, AttributeError):
        edges += [(a.decode(), b.decode()) for a, b in file["node/edges"][()]]
    _put(file, "node/edges", np.array(edges, dtype="S8").reshape(-1, 2))


def mutate_tensors(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file of ``torch.save`` with tensors mutated or gone."""
    import torch

    tree = mutate_tree(_lists(torch.load(io.BytesIO(content), weights_only=True)), rng)
    stream = io.BytesIO()
    torch.save(_tensors(tree, rng), stream)
    return stream.getvalue()


def _lists(value: Any) -> Any:
    """Return dictionaries and lists for what is like them, in which tensors are leaves."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _tensors(value: Any, rng: np.random.Generator) -> Any:
    import torch

    if isinstance(value, dict):
        return {key: _tensors(item, rng) for key, item in value.items()}
    if isinstance(value, list):
        return [_tensors(item, rng) for item in value]
    if isinstance(value, torch.Tensor) and rng.random() < 0.2:
        array = mutate_array(value.numpy(), rng)
        return torch.from_numpy(np.ascontiguousarray(array)) if array.dtype.kind in "biufc" else value
    return value


def check_kernel(program: Program, inputs: dict[str, Any]) -> None:
    """Raise ArithmeticError where the kernels do not compute what the definition in NumPy does."""
    from neurodeploy.families.loihi.arithmetic import find_arithmetic

    options = RunOptions(record=("spikes", "u", "v"), raw_time=True)
    recording = Emulator().run(program, inputs, options)
    on_chip = {name: np.asarray(values, np.int64) for name, values in inputs.items()}
    traces = definition.run(loihi_program(program, "the definition"), on_chip, find_arithmetic(program.arithmetic))
    for population in program.populations:
        observed = recording.nodes.get(population.name, {})
        for key, values in observed.items():
            meant = getattr(traces, "v" if key == "value" else key)[population.name]
            if not np.array_equal(values.reshape(meant.shape), meant):
                raise ArithmeticError(f"kernel and definition differ in {key} of {population.name}")


def _spikes(shapes: dict[str, tuple[int, ...]], n_steps: int = 8, n_samples: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: (rng.random((n_steps, n_samples, *shape)) < 0.4).astype(np.uint8) for name, shape in shapes.items()}


SMALL = 2000
"""Neurons of a program that is also run."""


def run_program(program: Program) -> None:
    """Run a program, if it is small, on its kernels and their definition."""
    wide = sum(population.size for population in program.populations) + sum(map(_size, program.inputs.values()))
    if wide <= SMALL and program.max_latency < 200 and not program.message_bits and program.host is None:
        check_kernel(program, _spikes(program.inputs))


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _read_nir(path: Path, base: Base) -> None:
    from neurodeploy.compiler import compile
    from neurodeploy.inspection import inspect

    inspect(path)
    run_program(compile(path, "loihi2", allow_silent=True))


def _read_data(path: Path, base: Base) -> None:
    from neurodeploy.coding.data_file import load_data
    from neurodeploy.families.program_file import load_program

    data = load_data(path, {"input": SHAPE})
    if data.n_steps * data.n_samples < 1000:
        Emulator().run(load_program(base.path("program")), data.x, RunOptions())


def _read_recording(path: Path, base: Base) -> None:
    from neurodeploy.comparison.measures import diff
    from neurodeploy.ir.recording import load_recording

    found, sound = load_recording(path), load_recording(base.path("recording"))
    try:
        diff(found, sound)
        diff(sound, found)
    except ValueError as error:  # which the command line says as a refusal
        raise DeployError(str(error), where=str(path), fix="Record the same nodes on the same data.") from error


def _read_program(path: Path, base: Base) -> None:
    from neurodeploy.families.program_file import load_program

    run_program(load_program(path))


def _read_plan(path: Path, base: Base) -> None:
    from neurodeploy.compiler import compile

    run_program(compile(base.path("nir"), "loihi2", plan=path, allow_silent=True))


def _read_target(path: Path, base: Base) -> None:
    from neurodeploy.compiler import compile_network
    from neurodeploy.families.options import CompileOptions
    from neurodeploy.families.target_file import read_target
    from neurodeploy.importers.lower import read_network
    from neurodeploy.ir.plan import Plan

    target = read_target(path)
    network, _, _ = read_network(base.path("nir"))
    compile_network(network, target, CompileOptions(allow_silent=True), {}, Plan(), None)


def _read_weights(path: Path, base: Base) -> None:
    from neurodeploy.exporters.weights import load_weights

    load_weights(_module(), path)


def _read_checkpoint(path: Path, base: Base) -> None:

    _finetune(base, path, 2)


def _finetune(base: Base, checkpoint: Path, epochs: int) -> None:
    from neurodeploy.finetuning.finetune import finetune

    how = Training(epochs=epochs, batch=8)
    finetune(base.path("nir"), _training_data(), "loihi2", checkpoint=checkpoint, training=how)


def _read_state(path: Path, base: Base) -> None:
    from neurodeploy.search.trials import StateFile

    StateFile(path, {"of": "fuzz"}).load()


def mutate_lines(content: bytes, rng: np.random.Generator) -> bytes:
    """Return lines of JSON with a line mutated."""
    lines = content.decode().splitlines()
    index = int(rng.integers(len(lines)))
    lines[index] = json.dumps(mutate_tree(json.loads(lines[index]), rng))
    return ("\n".join(lines) + "\n").encode()


KINDS = {
    "nir": Kind(mutate_nir, _read_nir),
    "data": Kind(mutate_npz, _read_data),
    "events": Kind(mutate_npz, _read_data),
    "recording": Kind(mutate_npz, _read_recording),
    "program": Kind(mutate_npz, _read_program),
    "plan": Kind(mutate_yaml, _read_plan),
    "target": Kind(mutate_toml, _read_target),
    "weights": Kind(mutate_tensors, _read_weights),
    "checkpoint": Kind(mutate_tensors, _read_checkpoint),
    "state": Kind(mutate_lines, _read_state),
}


def make_base(folder: Path) -> Base:
    """Write a sound file of every kind, in a process of its own: threads that it starts do not outlive a fork."""
    child = os.fork()
    if child == 0:
        _write_base(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("the sound files could not be made")
    return Base({kind: (folder / kind).read_bytes() for kind in KINDS}, folder)


def _write_base(folder: Path) -> None:
    import torch

    from neurodeploy.compiler import compile_with_plan
    from neurodeploy.families.program_file import save_program
    from neurodeploy.ir.plan import save_plan
    from neurodeploy.ir.recording import save_recording
    from neurodeploy.search.trials import StateFile, Trial
    from neurodeploy.shipped import shipped_folder

    folder.mkdir(parents=True)
    base = Base({}, folder)
    _write_model(base.path("nir"))
    x = _spikes({"input": SHAPE})["input"]
    np.savez_compressed(folder / "data.npz", x=x, y=np.array([0, 1]))
    t, sample, unit = (x.reshape(len(x), x.shape[1], -1) > 0).nonzero()
    np.savez_compressed(folder / "events.npz", t=t, sample=sample, unit=unit, shape=x.shape, y=np.array([0, 1]))
    for kind in ("data", "events"):
        (folder / f"{kind}.npz").rename(base.path(kind))
    compiled = compile_with_plan(base.path("nir"), "loihi2", allow_silent=True)
    save_program(compiled.program, base.path("program"))
    save_plan(compiled.plan, base.path("plan"))
    options = RunOptions(record=("spikes", "v"))
    save_recording(Emulator().run(compiled.program, {"input": x}, options), base.path("recording"))
    base.path("target").write_bytes((shipped_folder("targets") / "loihi2.toml").read_bytes())
    torch.save(_module().state_dict(), base.path("weights"))
    _finetune(base, base.path("checkpoint"), 1)
    state = StateFile(base.path("state"), {"of": "fuzz"})
    state.load()
    state.append((8, 4), Trial((8, 4), 100.0, None, 3, 4, 0.0, 0.9, 0.9))
    state.append((1, 1), "too few bits")


def _training_data() -> Any:
    from neurodeploy.coding.data import Data

    x = _spikes({"input": SHAPE}, 6, 12)["input"]
    return Data({"input": x}, np.arange(12, dtype=np.int64) % 3, "noise")


def _module() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))


def _write_model(path: Path) -> None:
    import nir

    rng = np.random.default_rng(0)

    def lif(*shape: int) -> nir.LIF:
        ones = np.ones(shape)
        return nir.LIF(tau=ones * 1e-3, r=10 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)

    nodes = {
        "input": nir.Input({"input": np.array(SHAPE)}),
        "conv": nir.Conv2d((5, 5), rng.normal(0, 0.6, (3, 2, 3, 3)), (1, 1), (1, 1), (1, 1), 1, np.zeros(3)),
        "lif1": lif(3, 5, 5),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1),
        "fc": nir.Affine(rng.normal(0, 0.6, (3, 12)), rng.normal(0, 0.1, 3)),
        "lif2": lif(3),
        "w_rec": nir.Linear(rng.normal(0, 0.3, (3, 3))),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [*pairwise(["input", "conv", "lif1", "pool", "flatten", "fc", "lif2", "output"])]
    edges += [("lif2", "w_rec"), ("w_rec", "lif2")]
    said = json.dumps({"dialect": "snntorch", "dt": DT, "rules": {"reset": "zero", "reset_delay": False}})
    nir.write(path, nir.NIRGraph(nodes, edges, metadata={"neurodeploy": said}, type_check=False))
