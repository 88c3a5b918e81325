"""Reading NIR files: what is wrong with a bad one is named, with its place."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodeploy.errors import DeployError
from neurodeploy.importers.hdf5 import MAX_DEPTH
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import graph_from_nir, read_graph
from tests.conftest import ZERO, chain_edges, lif, save_nir


def edit(path: Path, key: str, value: object) -> None:
    """Replace or, with None, delete an entry of an HDF5 file."""
    with h5py.File(path, "a") as file:
        del file[key]
        if value is not None:
            file[key] = value


def test_a_file_that_is_no_nir_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    path.write_text("hello")
    with pytest.raises(DeployError, match="this is not a NIR model"):
        read_graph(path)


def test_a_truncated_file_is_refused(fc_model: Path) -> None:
    fc_model.write_bytes(fc_model.read_bytes()[:3000])
    with pytest.raises(DeployError, match="this is not a NIR model"):
        read_graph(fc_model)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="a NIR model is needed, but this path does not exist"):
        read_graph(tmp_path / "none.nir")


def test_a_node_type_that_is_not_supported_is_named_with_its_path(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/type", b"MaxPool2d")
    with pytest.raises(DeployError, match="node 'lif1' is a MaxPool2d, which is not supported") as caught:
        read_graph(fc_model)
    assert caught.value.where.endswith("fc.nir, node 'lif1'")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(fc_model: Path, value: float) -> None:
    weight = np.zeros((9, 12))
    weight[1, 2] = value
    edit(fc_model, "node/nodes/fc1/weight", weight)
    with pytest.raises(DeployError, match="Affine 'fc1' has 1 of 108 values of weight that are NaN or infinite"):
        read_graph(fc_model)


def test_an_infinite_time_constant_is_read(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/tau", np.full(9, np.inf))
    assert np.isinf(read_graph(fc_model).nodes["lif1"].params["tau"]).all()


def test_an_edge_to_a_missing_node_is_refused(fc_model: Path) -> None:
    edit(fc_model, "node/edges", np.array([[b"input", b"ghost"]]))
    with pytest.raises(DeployError, match="edge input -> ghost names node 'ghost', which does not exist"):
        read_graph(fc_model)


def test_a_missing_parameter_is_named(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/tau", None)
    with pytest.raises(DeployError, match="LIF 'lif1' has no tau"):
        read_graph(fc_model)


def test_a_parameter_of_a_wrong_type_is_named(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/tau", np.ones(9, complex))
    with pytest.raises(DeployError, match="LIF 'lif1' has tau of type complex128"):
        read_graph(fc_model)


def test_a_file_without_v_reset_is_read(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/v_reset", None)
    assert "v_reset" not in read_graph(fc_model).nodes["lif1"].params


@pytest.mark.parametrize("name", ["counters", "meta"])
def test_reserved_node_names_are_refused(tmp_path: Path, name: str) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        name: lif((2,)),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", name, "output"), ZERO)
    with pytest.raises(DeployError, match=f"a node cannot be called '{name}'"):
        read_graph(path)


def test_a_graph_in_memory_reads_as_its_file(fc_model: Path) -> None:
    from_file, in_memory = read_graph(fc_model), graph_from_nir(nir.read(fc_model, type_check=False))
    assert from_file.edges == in_memory.edges
    assert from_file.metadata == in_memory.metadata
    assert {n: node.kind for n, node in from_file.nodes.items()} == {
        n: node.kind for n, node in in_memory.nodes.items()
    }
    np.testing.assert_array_equal(from_file.nodes["fc1"].params["weight"], in_memory.nodes["fc1"].params["weight"])


def test_infinite_w_in_of_a_current_that_never_decays_is_read(recurrent_model: Path) -> None:
    edit(recurrent_model, "node/nodes/lif1/tau_syn", np.full(8, np.inf))
    edit(recurrent_model, "node/nodes/lif1/w_in", np.full(8, np.inf))
    assert read_network(recurrent_model)[0].population("lif1").decay_syn is not None


def test_repeated_edges_are_kept_apart(fc_model: Path) -> None:
    with h5py.File(fc_model, "r") as file:
        edges = file["node/edges"][()]
    edit(fc_model, "node/edges", np.concatenate([edges, edges[:1]]))
    graph = read_graph(fc_model)
    assert len(graph.edges) == len(edges)
    assert graph.repeated == ((edges[0][0].decode(), edges[0][1].decode()),)


def test_metadata_of_others_are_kept(fc_model: Path) -> None:
    with h5py.File(fc_model, "a") as file:
        file["node/nodes/lif1/metadata/colour"] = "red"
    assert read_graph(fc_model).nodes["lif1"].foreign == {"colour": "red"}


def with_file(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with h5py.File(path, "a") as file:
            change(file)

    return apply


def hard_cycle(file: Any) -> None:
    file["node/nodes/lif1/inner"] = file["node"]


def soft_cycle(file: Any) -> None:
    file["node/nodes/lif1/inner"] = h5py.SoftLink("/node")


def external(file: Any) -> None:
    file["node/nodes/lif1/inner"] = h5py.ExternalLink("/etc/hostname", "/node")


def self_nested(file: Any) -> None:
    """A graph that is a node of itself."""
    file["node/nodes/self"] = file["node"]


def deep(file: Any) -> None:
    file.create_group("node/nodes/lif1/" + "/".join("x" * (MAX_DEPTH + 1)))


def doubling(file: Any) -> None:
    """Each group holds the next one twice: 2^40 ways through 40 groups."""
    inner = file.create_group("node/nodes/lif1/g0")
    for _ in range(40):
        outer = file.create_group("tmp")
        outer["a"] = outer["b"] = inner
        del file["tmp"]
        inner = outer
    file["node/nodes/lif1/all"] = inner


def put(key: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if key in file:
            del file[key]
        file[key] = value

    return change


def put_group(key: str) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[key]
        file.create_group(key)

    return change


def huge(key: str, shape: tuple[int, ...], dtype: str = "f4") -> Callable[[Any], None]:
    """A compressed data set without any stored data: small on disk."""

    def change(file: Any) -> None:
        if key in file:
            del file[key]
        file.create_dataset(key, shape, dtype, compression="gzip", chunks=tuple(min(n, 1024) for n in shape))

    return change


def bad_name(file: Any) -> None:
    file["node/nodes"].create_group(b"b\xff\xfed")


def bad_metadata(text: str) -> Callable[[Any], None]:
    return put("node/metadata/neurodeploy", text)


BAD_FILES = {
    "hard cycle": (hard_cycle, "group node is reached twice|reached twice: it contains itself"),
    "soft cycle": (soft_cycle, "node/nodes/lif1/inner is a link to another place"),
    "external link": (external, "node/nodes/lif1/inner is a link to another place"),
    "graph in itself": (self_nested, "node/nodes/self is reached twice: it contains itself"),
    "too deep": (deep, "groups are nested more than 64 deep"),
    "doubling": (doubling, "is reached twice|nested more than"),
    "no node group": (lambda file: file.__delitem__("node"), "this is not a NIR model: it has no group 'node'"),
    "node is data": (put("node", 3.0), "the file holds no graph with nodes and edges"),
    "nodes is data": (put("node/nodes", np.ones(3)), "the file holds no graph with nodes and edges"),
    "no edges": (lambda file: file.__delitem__("node/edges"), "the file holds no graph with nodes and edges"),
    "edges are triples": (put("node/edges", np.array([[b"a", b"b", b"c"]])), r"shape \(1, 3\), not \(N, 2\)"),
    "edges are flat": (put("node/edges", np.array([b"input", b"fc1"])), r"shape \(2,\), not \(N, 2\)"),
    "edges are numbers": (put("node/edges", np.ones((2, 2))), "an end of an edge is not a name"),
    "edges are a text": (put("node/edges", "input"), "they are a text"),
    "edges are a group": (put_group("node/edges"), "they are a group"),
    "a node is data": (put("node/nodes/lif1", np.ones(3)), "the node has no type"),
    "type is a number": (put("node/nodes/lif1/type", 3), "the node has no type"),
    "type is a group": (put_group("node/nodes/lif1/type"), "the node has no type"),
    "name is not UTF-8": (bad_name, "is not a readable UTF-8 name"),
    "tau is text": (put("node/nodes/lif1/tau", "long"), "LIF 'lif1' has tau of type text"),
    "tau is a group": (put_group("node/nodes/lif1/tau"), "LIF 'lif1' has tau of type group"),
    "tau is empty": (put("node/nodes/lif1/tau", np.ones(0)), "LIF 'lif1' has tau without a value"),
    "tau is null": (put("node/nodes/lif1/tau", h5py.Empty("f4")), "node/nodes/lif1/tau holds no value"),
    "tau is 0": (put("node/nodes/lif1/tau", np.zeros(9)), "LIF 'lif1' has 9 of 9 values of tau that are 0"),
    "tau is NaN": (put("node/nodes/lif1/tau", np.full(9, np.nan)), "9 of 9 values of tau that are NaN"),
    "beyond float32": (put("node/nodes/fc1/bias", np.full(9, 1e300)), "bias of 1e\\+300, which float32 cannot hold"),
    "compound type": (put("node/nodes/lif1/tau", np.zeros(9, [("a", "f4")])), "neither numbers nor text"),
    "input of 0": (put("node/nodes/input/shape", np.array([0])), r"Input 'input' has shape \[0\]"),
    "input of halves": (put("node/nodes/input/shape", np.array([1.5])), r"Input 'input' has shape \[1.5\]"),
    "input of 1e9": (put("node/nodes/input/shape", np.array([10**9])), "of shape .* needs 1,000,000,000 neurons"),
    "input of 1e9 in axes": (put("node/nodes/input/shape", np.array([1000, 1000, 1000])), "1,000,000,000 neurons"),
    "1e9 neurons": (huge("node/nodes/lif1/tau", (10**9,)), "lif1/tau of shape .* needs 1,000,000,000 neurons"),
    "huge weight": (huge("node/nodes/fc1/weight", (10**6, 10**6)), "needs 4,000,000,000,132 bytes"),
    "weight not written": (huge("node/nodes/fc1/weight", (9, 9000)), r"claims 324000 bytes .* and the file stores 0"),
    "1e9 edges": (huge("node/edges", (10**9, 2), "S8"), "node/edges of shape .* needs 1,000,000,000 projections"),
    "metadata is no JSON": (bad_metadata("{"), "metadata key 'neurodeploy' is not of the form that is read"),
    "metadata is a list": (bad_metadata("[]"), "it is not a JSON object"),
    "metadata is deep": (bad_metadata("[" * 100_000), "metadata key 'neurodeploy' is not of the form that is read"),
    "rules are a list": (bad_metadata('{"rules": [1]}'), "rules are not a JSON object"),
    "dialect is a list": (bad_metadata('{"dialect": ["norse"]}'), r"dialect is \['norse'\], which is not a text"),
    "delayed edges of objects": (bad_metadata('{"delayed_edges": [[{}, "a"]]}'), "delayed_edges are .* not pairs"),
    "dt is a text": (bad_metadata('{"dt": "soon"}'), "dt is 'soon', which is not a number above 0"),
    "dt is below 0": (bad_metadata('{"dt": -1}'), "dt is -1, which is not a number above 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_refused_with_its_cause(fc_model: Path, kind: str) -> None:
    change, message = BAD_FILES[kind]
    with_file(change)(fc_model)
    with pytest.raises(DeployError, match=message) as caught:
        read_graph(fc_model)
    assert str(fc_model) in caught.value.where
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stride", 0),
        ("stride", np.array([1, 2, 3])),
        ("dilation", -1),
        ("groups", 0),
        ("padding", -1),
        ("padding", 0.5),
    ],
)
def test_a_convolution_without_a_whole_step_is_refused(conv_model: Path, key: str, value: object) -> None:
    edit(conv_model, f"node/nodes/conv/{key}", value)
    with pytest.raises(DeployError, match=f"Conv2d 'conv' has {key} of"):
        read_graph(conv_model)


def test_padding_that_would_make_a_thousand_million_neurons_is_refused(conv_model: Path) -> None:
    edit(conv_model, "node/nodes/conv/padding", np.array([40000, 40000]))
    with pytest.raises(DeployError, match=r"between 'input' and 'lif1' needs [\d,]{14} neurons"):
        read_network(conv_model)


def test_a_file_that_claims_much_is_refused_in_little_memory(fc_model: Path) -> None:
    with_file(huge("node/nodes/lif1/tau", (10**8,), "f8"))(fc_model)
    for key in ("r", "v_leak", "v_threshold", "v_reset"):
        with_file(huge(f"node/nodes/lif1/{key}", (10**8,), "f8"))(fc_model)
    with_file(huge("node/nodes/fc1/weight", (10**5, 10**5), "f4"))(fc_model)
    limit = 2 * 2**30

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    code = "import sys; from neurodeploy.importers.nir_graph import read_graph; read_graph(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(fc_model)], capture_output=True, text=True, preexec_fn=limited, check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "DeployError" in done.stderr
    assert "but the limit is 1,073,741,824" in done.stderr


def tiny_model(path: Path) -> bytes:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "fc": nir.Affine(np.ones((3, 2), np.float32), np.zeros(3, np.float32)),
        "lif": lif((3,)),
        "output": nir.Output({"output": np.array([3])}),
    }
    return save_nir(path, nodes, chain_edges("input", "fc", "lif", "output"), ZERO).read_bytes()


def reads_or_is_refused(path: Path, content: bytes) -> bool:
    """Tell whether a file is read; anything but success and a refusal is raised."""
    path.write_bytes(content)
    try:
        read_network(path)
    except DeployError:
        return False
    return True


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = tiny_model(tmp_path / "m.nir")
    assert reads_or_is_refused(tmp_path / "q.nir", content)
    for end in [*range(0, len(content), 97), *range(len(content) - 40, len(content))]:
        assert not reads_or_is_refused(tmp_path / "q.nir", content[:end]), end


@settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_file_with_wrong_bytes_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "m.nir"
    content = bytearray(path.read_bytes() if path.exists() else tiny_model(path))
    flips = st.tuples(st.integers(0, len(content) - 1), st.sampled_from([0, 1, 2, 127, 128, 255]))
    for place, value in data.draw(st.lists(flips, min_size=1, max_size=4)):
        content[place] = value
    reads_or_is_refused(tmp_path / "q.nir", bytes(content))


@pytest.mark.parametrize("offset", [0, 2, 8, 9, 15])
@pytest.mark.parametrize("value", [0, 1, 3, 128, 255])
def test_a_damaged_heap_of_texts_neither_hangs_nor_grows(tmp_path: Path, offset: int, value: int) -> None:
    """The HDF5 library loops for ever, or asks for gigabytes, on some of these."""
    content = bytearray(tiny_model(tmp_path / "m.nir"))
    start = content.index(b"GCOL") + 16
    content[start + 24 + 24 + offset] = value
    reads_or_is_refused(tmp_path / "q.nir", bytes(content))


def test_texts_packed_in_other_ways_are_read(fc_model: Path) -> None:
    with h5py.File(fc_model, "r") as file:
        edges = file["node/edges"][()]
    before = read_graph(fc_model)
    for options in ({"chunks": (2, 1)}, {"chunks": (3, 2), "shuffle": True, "compression": "gzip"}):
        with h5py.File(fc_model, "a") as file:
            del file["node/edges"]
            file.create_dataset("node/edges", data=edges, dtype=h5py.string_dtype(), **options)
        assert read_graph(fc_model).edges == before.edges
    edit(fc_model, "node/edges", edges.astype("S8"))
    assert read_graph(fc_model).edges == before.edges
