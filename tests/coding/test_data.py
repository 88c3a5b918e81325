"""Input files: every layout that is allowed comes out the same, every other is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.coding.data import Data, DataFile, given_samples, load_data, parse_encoding, shared_samples
from neurodeploy.errors import DeployError
from tests.conftest import spikes

SHAPE = {"input": (2, 3)}


def save(tmp_path: Path, **arrays: Any) -> Path:
    np.savez(tmp_path / "d.npz", **arrays)
    return tmp_path / "d.npz"


def test_batch_first_data_is_turned(tmp_path: Path, rng: np.random.Generator) -> None:
    x = spikes(rng, 7, 4, 2, 3)
    data = load_data(save(tmp_path, x=x.swapaxes(0, 1), y=np.arange(4)), SHAPE, batch_first=True)
    np.testing.assert_array_equal(data.x["input"], x)


def test_event_lists_become_rasters(tmp_path: Path, rng: np.random.Generator) -> None:
    x = spikes(rng, 7, 4, 2, 3)
    t, sample, unit = np.nonzero(x.reshape(7, 4, 6))
    data = load_data(save(tmp_path, t=t, sample=sample, unit=unit, shape=x.shape), SHAPE)
    np.testing.assert_array_equal(data.x["input"], x)


def repeated_events(path: Path, n: int) -> Path:
    """Two cells with events, the second with ``n`` of them."""
    t, unit = np.array([0, *[3] * n]), np.array([5, *[2] * n])
    return save(path, t=t, sample=np.zeros_like(t), unit=unit, shape=(7, 1, 2, 3))


@pytest.mark.parametrize("n", [2, 300])
def test_events_that_repeat_are_counted(tmp_path: Path, n: int) -> None:
    x = load_data(repeated_events(tmp_path, n), SHAPE).x["input"].reshape(7, 6)
    assert (x[0, 5], x[3, 2], x.sum()) == (1, n, n + 1)


def test_events_that_repeat_are_merged_where_that_is_asked(tmp_path: Path) -> None:
    data = DataFile(repeated_events(tmp_path, 4), SHAPE, merge_repeats=True)
    assert data.n_repeats == 3
    assert data.part(0, 1).x["input"].sum() == 2


def test_bytes_of_0_and_255_are_no_spikes(tmp_path: Path, rng: np.random.Generator) -> None:
    x = (spikes(rng, 7, 4, 2, 3) * 255).astype(np.uint8)
    with pytest.raises(DeployError, match="0 and 255, like the black and white of an image"):
        load_data(save(tmp_path, x=x), SHAPE)
    assert load_data(save(tmp_path, x=x[0]), SHAPE, encode=parse_encoding("rate,steps=5")).n_steps == 5
    x[0, 0, 0, 0] = 7
    np.testing.assert_array_equal(load_data(save(tmp_path, x=x), SHAPE).x["input"], x)


def test_several_inputs_have_names(tmp_path: Path, rng: np.random.Generator) -> None:
    a, b = spikes(rng, 5, 2, 3), spikes(rng, 5, 2, 4)
    path = tmp_path / "d.npz"
    np.savez(path, **{"x/a": a, "x/b": b})
    np.testing.assert_array_equal(load_data(path, {"a": (3,), "b": (4,)}).x["b"], b)


def test_rate_coding_is_the_same_for_a_seed(tmp_path: Path, rng: np.random.Generator) -> None:
    path = save(tmp_path, x=rng.random((50, 2, 3)))
    one, two, other = (
        load_data(path, SHAPE, encode=parse_encoding("rate,steps=40"), seed=s).x["input"] for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    with np.load(path) as archive:
        np.testing.assert_allclose(one.mean(axis=0), archive["x"] / archive["x"].max(), atol=0.35)


def test_latency_coding_fires_once_and_earlier_for_more(tmp_path: Path) -> None:
    x = load_data(
        save(tmp_path, x=np.array([[[0, 1, 2], [4, 8, 16]]])), SHAPE, encode=parse_encoding("latency,steps=17")
    ).x["input"]
    assert x.shape == (17, 1, 2, 3)
    assert x.sum(axis=0).tolist() == [[[0, 1, 1], [1, 1, 1]]]
    assert x[:, 0, 1, 2].argmax() == 0
    assert x[:, 0, 0, 1].argmax() == 15


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            {"x": np.zeros((5, 2, 2, 4))},
            {},
            r"input 'input' has shape \(5, 2, 2, 4\), but the model takes \[T, B, \*\[2, 3\]\]",
        ),
        ({"z": np.zeros(3)}, {}, "there is nothing for input input; the file holds z"),
        ({"x": np.full((5, 2, 2, 3), np.nan)}, {}, "holds NaN or infinite values"),
        ({"x": np.zeros((5, 2, 2, 3)), "y": np.zeros(5, int)}, {}, r"labels y have shape \(5,\)"),
        ({"x": np.zeros((5, 2, 2, 3)), "y": np.zeros(3)}, {}, "labels y have shape .* and type float64"),
        ({"x": np.zeros((5, 2, 2, 3)), "y": np.full(2, np.nan)}, {}, "y holds NaN"),
        ({"x": np.zeros((5, 2, 2, 3))}, {"encode": "rate"}, r"encode takes static data of shape \[B, \*\[2, 3\]\]"),
        ({"x": -np.ones((2, 2, 3))}, {"encode": "rate"}, "values down to -1.0, and values below 0 cannot be encoded"),
        ({"x": np.zeros((0, 2, 2, 3))}, {}, "input 'input' holds 0 steps and 2 samples"),
        ({"x": np.array([["a"]])}, {}, "input 'input' is of type <U1"),
        ({"t": [0], "sample": [0], "unit": [9], "shape": [5, 1, 2, 3]}, {}, "unit of the event list runs from 9 to 9"),
        (
            {"t": [0.5], "unit": [0], "shape": [5, 1, 2, 3]},
            {},
            "t is of type float64, but has to hold whole numbers",
        ),
        ({"t": [0], "unit": [0], "shape": [5, 1, 3, 3]}, {}, "the event list has shape"),
        ({"unit": [0], "shape": [5, 1, 2, 3]}, {}, "this event list is incomplete"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    if "encode" in options:
        options = {"encode": parse_encoding(options["encode"])}
    with pytest.raises(DeployError, match=message):
        load_data(save(tmp_path, **arrays), SHAPE, **options)


@pytest.mark.parametrize("text", ["morse", "rate,steps=0", "rate,steps=x", "rate,volume=3", "latency,scale=-1"])
def test_encodings_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(DeployError, match="encode"):
        parse_encoding(text)


def test_samples_are_shared_by_their_values_in_whatever_type(rng: np.random.Generator) -> None:
    real = rng.random((4, 6, 3)) + 0.1
    spiking = (rng.random((4, 6, 3)) < 0.5).astype(np.uint8)

    def data(values: np.ndarray) -> Data:
        return Data({"input": values}, None, "made")

    assert shared_samples(data(real[:, :3]), data(real[:, 3:])) == 0
    assert shared_samples(data(real[:, :3]), data(real[:, 1:])) == 2
    assert shared_samples(data(spiking), data(spiking[:, :2].astype(np.float32))) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"x": np.ones((4, 2, 3), np.uint8), "y": np.ones(2, int)},
        (np.ones((4, 2, 3), np.uint8), np.ones(2, int)),
        [[1, 0], [1]],
        None,
        np.ones(3),
        np.full((4, 2, 3), "a"),
    ],
)
def test_what_is_no_input_is_refused_by_name(given: Any) -> None:
    with pytest.raises(DeployError, match=r"the data holds inputs x, y|the data for input 'input' is a"):
        given_samples(given, {"input": (3,)})
    assert given_samples([[[1, 0, 1]]], {"input": (3,)}).n_samples == 1


@pytest.mark.parametrize("extent", [(0, 4), (7, 0)])
def test_data_without_steps_or_samples_is_called_so(tmp_path: Path, extent: tuple[int, int]) -> None:
    with pytest.raises(DeployError, match=f"holds {extent[0]} steps and {extent[1]} samples"):
        load_data(save(tmp_path, x=np.zeros((*extent, 2, 3), np.uint8)), SHAPE)
