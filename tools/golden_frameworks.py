"""Do networks of every framework come through our exporter, and through its own, with every spike?

Runs each framework itself on small seeded networks and writes golden cases to ``tests/golden/frameworks``::

    python tools/golden_frameworks.py [--environments DIR] [--output DIR] [FRAMEWORK ...]

Each framework runs in an environment of its own under DIR (made if it is missing; sinabs and rockpool pin an old nir,
which is replaced). A case is ``<case>.npz`` (input ``x``, ``<node>/spikes``, ``/v``, ``/u``, ``/value`` and ``meta``),
``<case>.nir`` by our exporter, and ``<case>.own.nir`` by the framework's. The files keep every value; edges are sorted
and the HDF5 layout is made compact. Of spyx, ``spyx-sweep.npz`` beside that folder holds each option off its default.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from golden_models import Golden

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "frameworks"
PACKAGES = {
    "snntorch": ("torch", "snntorch==1.0.0", "nirtorch==2.6"),
    "norse": ("torch", "norse==1.1.0", "nirtorch==2.6"),
    "sinabs": ("torch", "sinabs==3.1.3"),
    "spikingjelly": ("torch", "spikingjelly==2.0.0", "nirtorch==2.6"),
    "rockpool": ("torch", "rockpool==3.1.0"),
    "spyx": ("spyx==1.0.0",),
}
NIR = "nir==1.0.8"
T, B, SEED = 16, 2, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frameworks", nargs="*", help=f"of {', '.join(PACKAGES)}; all if none is named")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "neurodeploy" / "frameworks"
    parser.add_argument("--environments", type=Path, default=cache)
    parser.add_argument("--output", type=Path, default=GOLDEN)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for framework in options.frameworks or PACKAGES:
        if options.inside:
            write_cases(framework, options.output)
            continue
        python = environment(framework, options.environments / framework)
        command = [str(python), __file__, "--inside", "--output", str(options.output), framework]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def environment(framework: str, folder: Path) -> Path:
    """Return the Python of a framework's environment, made if it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "tools" / "constraints.txt")]
        subprocess.run([*pip, *PACKAGES[framework]], check=True)
        subprocess.run([*pip, NIR, str(ROOT)], check=True)
    return python


def write_cases(framework: str, output: Path) -> None:
    """Write every case of a framework that can be imported here."""
    from golden_models import CASES

    warnings.simplefilter("ignore")
    output.mkdir(parents=True, exist_ok=True)
    if framework == "spyx":
        write_spyx(output)
        write_sweep(output.with_name("spyx-sweep.npz"))
    for name, case in CASES.items():
        if case.framework == framework:
            size = write_case(name, case, output)
            print(f"{name}: {size} bytes")


def write_case(name: str, case: Golden, output: Path) -> int:
    """Write one case; returns its size in bytes."""
    import numpy as np

    from neurodeploy.exporters.export import export
    from neurodeploy.files import text_array, to_json, write_npz
    from neurodeploy.ir.recording import load_recording

    x = (np.random.default_rng(SEED).random((T, B, *case.shape)) < 0.5).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        graph, record = Path(folder) / "m.nir", Path(folder) / "trained.npz"
        result = export(
            f"{ROOT / 'tools' / 'golden_models.py'}:{name.replace('-', '_')}",
            weights=None, sample_shape=case.shape, output=graph, inputs=x, record_output=record,
        )  # fmt: skip
        trained = load_recording(record)
        compact(graph, output / f"{name}.nir")
        own = output / f"{name}.own.nir"
        own.unlink(missing_ok=True)
        nodes = write_own(case, own, tuple(trained.nodes))
    arrays = {f"{node}/{key}": values for node, seen in trained.nodes.items() for key, values in seen.items()}
    check_fires(name, arrays)
    meta = {
        "framework": case.framework,
        "versions": trained.meta["versions"],
        "seed": SEED,
        "outputs": list(result.outputs),
        "own_dialect": case.own_dialect,
        "own_nodes": nodes,
    }
    write_npz(output / f"{name}.npz", {**arrays, "x": x, "meta": text_array(to_json(meta))})
    return sum(path.stat().st_size for path in output.glob(f"{name}.*"))


def check_fires(name: str, arrays: dict[str, Any]) -> None:
    """Refuse a case in which a layer is silent or saturated: it would prove nothing."""
    for key, values in arrays.items():
        if key.endswith("/spikes") and not 0 < (values > 0).mean() < 1:
            raise SystemExit(f"{name}: {key} is {values.mean():g} throughout; choose another seed or threshold")


def write_spyx(output: Path) -> None:
    """Write the cases of spyx, which only its own exporter knows."""
    from importlib.metadata import version

    import golden_spyx
    import nir
    import numpy as np

    from neurodeploy.files import text_array, to_json, write_npz

    x = (np.random.default_rng(SEED).random((T, B, 5)) < 0.5).astype(np.uint8)
    for name, build in golden_spyx.CASES.items():
        arrays, graph = golden_spyx.run(build(), x), golden_spyx.graph_of(build(), (5,))
        check_fires(name, arrays)
        with tempfile.TemporaryDirectory() as folder:
            nir.write(Path(folder) / "own.nir", graph)
            compact(Path(folder) / "own.nir", output / f"{name}.own.nir")
        nodes = {node: _neuron_inside(node, graph.nodes[node]) for node in graph.nodes}
        meta = {
            "framework": "spyx",
            "versions": {package: version(package) for package in ("spyx", "jax")},
            "seed": SEED,
            "outputs": ["layer_3"],
            "own_dialect": "spyx",
            "own_nodes": nodes,
        }
        write_npz(output / f"{name}.npz", {**arrays, "x": x, "meta": text_array(to_json(meta))})
        print(f"{name}: {sum(path.stat().st_size for path in output.glob(f'{name}.*'))} bytes")


def write_sweep(path: Path) -> None:
    """Write spyx's sweep: of each case its file (as bytes), its input and what spyx gives, and what is true of it."""
    from importlib.metadata import version

    import golden_spyx
    import nir
    import numpy as np

    from neurodeploy.files import text_array, to_json, write_npz

    arrays: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, case in golden_spyx.SWEEP.items():
        x = (np.random.default_rng(SEED).random((T, B, *case.shape)) < 0.5).astype(np.uint8)
        graph, expected = golden_spyx.swept(case, x)
        if not expected.any():
            raise SystemExit(f"{name}: nothing leaves it; choose another seed or threshold")
        with tempfile.TemporaryDirectory() as folder:
            nir.write(Path(folder) / "own.nir", graph)
            compact(Path(folder) / "own.nir", Path(folder) / "compact.nir")
            arrays[f"{name}/model"] = np.frombuffer((Path(folder) / "compact.nir").read_bytes(), np.uint8)
        arrays |= {f"{name}/x": x, f"{name}/expected": expected}
        told[name] = {key: getattr(case, key) for key in ("answers", "lost", "option", "is_refused")}
    versions = {package: version(package) for package in ("spyx", "jax", "nir")}
    meta = {"seed": SEED, "versions": versions, "cases": told}
    write_npz(path, {**arrays, "meta": text_array(to_json(meta))})
    print(f"{path.name}: {len(told)} cases, {path.stat().st_size} bytes")


def _neuron_inside(name: str, node: Any) -> str:
    """Return the name of a node, or of the neuron in a graph that stands for a recurrent layer."""
    inside = getattr(node, "nodes", {})
    return next((f"{name}.{inner}" for inner, part in inside.items() if hasattr(part, "v_threshold")), name)


def write_own(case: Golden, path: Path, neurons: tuple[str, ...]) -> dict[str, str]:
    """Write what the framework's own exporter makes of a case; returns its name of each neuron of ours."""
    import nir
    import numpy as np
    import torch

    if case.own_dialect is None:
        return {}
    with torch.no_grad():
        graph = own_graph(case.framework, case.build(), torch.zeros(T, B, *case.shape))
    graph.edges = sorted(graph.edges)  # nirtorch gives them in another order each time
    for node in graph.nodes.values():
        for key, value in vars(node).items():
            if isinstance(value, torch.Tensor):
                setattr(node, key, np.asarray(value.detach()))
    if case.framework != "rockpool":  # whose output port counts steps, which its layers do not
        graph.infer_types()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "own.nir"
        nir.write(written, graph)
        compact(written, path)
    found = {name: next((n for n in (name, f"_{name}", f"{name}.lif") if n in graph.nodes), None) for name in neurons}
    if None in found.values():
        raise SystemExit(f"{path.name}: its nodes {sorted(graph.nodes)} have no counterpart of {sorted(neurons)}")
    return {ours: str(theirs) for ours, theirs in found.items()}


def own_graph(framework: str, net: Any, x: Any) -> Any:
    """Return what a framework's own exporter makes of a network.

    Args:
        framework: whose exporter.
        net: the network.
        x: zeros [T, B, *shape], from which each exporter takes the sample that it wants.
    """
    match framework:
        case "snntorch":
            from snntorch.export_nir import export_to_nir

            return export_to_nir(net, x[0], ignore_dims=[0])
        case "norse":
            from norse.torch.utils.export_nir import to_nir

            return to_nir(net, x[0, 0])
        case "sinabs":
            from sinabs.nir import to_nir

            batched = x.transpose(0, 1)
            return to_nir(net, batched.flatten(0, 1) if hasattr(net[1], "batch_size") else batched)
        case "spikingjelly":
            from spikingjelly.activation_based.nir_exchange import export_to_nir

            return export_to_nir(net, x if net[1].step_mode == "m" else x[0], dt=1e-4)
        case _:
            from rockpool.nn.modules.torch.nir import to_nir

            return to_nir(net, x[0, 0])


def compact(source: Path, target: Path) -> None:
    """Copy a NIR file without compression and string heaps, a tenth of its size; every value stays as it is."""
    import h5py

    with h5py.File(source) as full, h5py.File(target, "w", libver="latest", meta_block_size=64) as small:
        _copy(full, small)


def _copy(source: Any, target: Any) -> None:
    import h5py
    import numpy as np

    for name in sorted(source):
        item = source[name]
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name))
            continue
        value = item[()]
        if isinstance(value, bytes):
            value = np.bytes_(value)
        elif item.dtype.kind == "O":
            value = np.array(value.tolist(), dtype="S")
        value = np.asarray(value)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        layout.set_obj_track_times(False)
        space = h5py.h5s.create_simple(value.shape) if value.ndim else h5py.h5s.create(h5py.h5s.SCALAR)
        kind = h5py.h5t.py_create(value.dtype, logical=True)
        h5py.h5d.create(target.id, name.encode(), kind, space, layout).write(h5py.h5s.ALL, h5py.h5s.ALL, value)


if __name__ == "__main__":
    main()
