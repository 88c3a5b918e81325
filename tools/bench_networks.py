"""The networks that the benchmark runs, made so that their layers fire as often as it says.

The neurons keep 0.9 of v in a step; where a network's activity has to follow its input's exactly (``relay`` and
``recurrent``) they keep nothing, one strong synapse from the input neuron of the same number makes each fire, and all
other synapses, which are what takes the time, are too weak to.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, eye_array

from neurodeploy.compiler import compile
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import Inputs
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear, Shape, Sparse

RULE = NeuronRule(reset="value", reset_delay=True)
TARGET = "loihi2"

DENSE_SIZES = (784, 512, 10)
DENSE_LOW = -0.1
DENSE_HIGH = (0.1025, 0.102)
"""Range of the uniform weights into hidden and output: with 10 % input both layers fire at about 10 %."""

CONV_SIDE = 28
CONV_CHANNELS = (1, 8, 16, 32)
CONV_STRIDES = (1, 2, 2)
CONV_NAMES = ("conv1", "conv2", "conv3")
CONV_SUMS = (1.8, -0.5, -3.0, -1.0)
"""Sum of the weights into a neuron, layer by layer: with 5 % input all layers fire at about 5 %."""

RELAY_SIZE = 1024
WEAK = 0.02
"""Largest weight that is only there to take time; a threshold is 0.5 and a strong synapse 1."""


def spikes(rng: np.random.Generator, share: float, extent: tuple[int, ...]) -> Inputs:
    """Return random input spikes ``[T, B, *shape]``."""
    return {"input": (rng.random(extent, dtype=np.float32) < share).astype(np.uint8)}


def dense(rng: np.random.Generator) -> Program:
    """Return 784-512-10."""
    names = ("input", "hidden", "output")
    populations = [_population(name, (size,)) for name, size in zip(names[1:], DENSE_SIZES[1:], strict=True)]
    projections = []
    for i, high in enumerate(DENSE_HIGH):
        weight = rng.uniform(DENSE_LOW, high, (DENSE_SIZES[i + 1], DENSE_SIZES[i])).astype(np.float32)
        projections.append(Projection(names[i], names[i + 1], (Linear(weight),)))
    return _compiled(DENSE_SIZES[:1], populations, projections)


def convolutions(rng: np.random.Generator) -> Program:
    """Return three convolutions of 3x3 with 8, 16 and 32 channels on 28x28, and a dense layer of 10."""
    shape: Shape = (CONV_CHANNELS[0], CONV_SIDE, CONV_SIDE)
    source, populations, projections = "input", [], []
    for i, name in enumerate(CONV_NAMES):
        weight = _with_sum(rng.normal(0.0, 0.5, (CONV_CHANNELS[i + 1], CONV_CHANNELS[i], 3, 3)), CONV_SUMS[i])
        op = Conv2d(weight, None, (CONV_STRIDES[i],) * 2, (1, 1))
        shape = op.output_shape(shape)
        populations.append(_population(name, shape))
        projections.append(Projection(source, name, (op,)))
        source = name
    weight = _with_sum(rng.uniform(-0.1, 0.1, (10, prod(shape))), CONV_SUMS[3])
    populations.append(_population("output", (10,)))
    projections.append(Projection(source, "output", (Flatten(), Linear(weight))))
    return _compiled((CONV_CHANNELS[0], CONV_SIDE, CONV_SIDE), populations, projections)


def relay(rng: np.random.Generator) -> Program:
    """Return 1024-1024-1024, dense, whose layers fire as often as the input, whatever that is."""
    names = ("input", "hidden", "output")
    populations, projections = [], []
    for i in range(2):
        weight = rng.choice(np.array([-WEAK / 2, WEAK / 2], np.float32), (RELAY_SIZE, RELAY_SIZE))
        np.fill_diagonal(weight, 1.0)
        populations.append(_population(names[i + 1], (RELAY_SIZE,), decay=0.0, threshold=0.5))
        projections.append(Projection(names[i], names[i + 1], (Linear(weight),)))
    return _compiled((RELAY_SIZE,), populations, projections)


def recurrent(rng: np.random.Generator, n: int, fan_out: int) -> Program:
    """Return n neurons with ``fan_out`` synapses each to random others, which fire as often as the input."""
    population = _population("output", (n,), decay=0.0, threshold=0.5)
    projections = [
        Projection("input", "output", (Sparse(eye_array(n, dtype=np.float32, format="csc")),)),
        Projection("output", "output", (Sparse(random_synapses(rng, n, fan_out)),), delay=1),
    ]
    return _compiled((n,), [population], projections)


def random_synapses(rng: np.random.Generator, n: int, fan_out: int) -> csc_array:
    """Return weights (n, n) with exactly ``fan_out`` in each column, one at random in each of as many equal stretches.

    So they are in order and without repeats as they are made, and 100 million need no sorting.
    """
    stretch = n // fan_out
    reached = rng.integers(0, stretch, (n, fan_out), dtype=np.int32)
    reached += np.arange(fan_out, dtype=np.int32) * np.int32(stretch)
    weight = rng.random(n * fan_out, dtype=np.float32)
    weight -= np.float32(0.5)
    weight *= np.float32(2 * WEAK)
    return csc_array((weight, reached.ravel(), np.arange(n + 1) * fan_out), shape=(n, n))


def _population(name: str, shape: Shape, decay: float = 0.9, threshold: float = 1.0) -> Population:
    return Population(name, shape, RULE, decay_mem=np.full(shape, decay), threshold=np.full(shape, threshold))


def _compiled(shape: Shape, populations: list[Population], projections: list[Projection]) -> Program:
    network = Network({"input": shape}, tuple(populations), tuple(projections), ("output",), 1e-3, "nir")
    return compile(network, TARGET, allow_oversize=True)


def _with_sum(weight: NDArray[np.float64], wanted: float) -> NDArray[np.float32]:
    """Return weights moved so that those into each neuron have the wanted sum."""
    flat = weight.reshape(len(weight), -1)
    flat = flat + (wanted / flat.shape[1] - flat.mean(axis=1, keepdims=True))
    moved: NDArray[np.float32] = flat.reshape(weight.shape).astype(np.float32)
    return moved
