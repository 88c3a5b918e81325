"""Random programs of everything that Lava can express, many of them merged into one, and how two runs compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from neurodeploy.backends.lava.process_names import process_of
from neurodeploy.families.loihi.arithmetic import STATE_LIMIT
from neurodeploy.families.loihi.codes import (
    ADAPTATIONS,
    CLEARED,
    CONDITIONS,
    RESETS,
    THRESHOLD_MAX,
    WEIGHT_RANGES,
    LoihiPopulation,
    NeuronModel,
)
from neurodeploy.families.loihi.definition import Traces
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs
from neurodeploy.ir.synapses import Shape

KINDS = (
    "LIF", "LIFReset", "TernaryLIF", "integrator", "meets", *RESETS[1:], "counts", "refractory", "v_min", "adaptive",
    "lowering", "second", "mix",
)  # fmt: skip
"""Neurons that are drawn, each as often; ``mix`` draws each of their properties anew."""

MOST_TO_CONV = 20
"""Largest count that enters a convolution, whose sums Lava holds in 24 bits only."""


N_STEPS, N_SAMPLES = 70, 3
"""Of every draw: more rows than the longest delay has, and a last sample that repeats the first."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a projection can start from."""

    name: str
    shape: Shape
    graded: bool
    to_conv: bool


def draw(seed: int, n_programs: int) -> tuple[Program, Inputs]:
    """Return the programs of seeds ``seed``, ``seed + 1``, ... side by side, named after their seeds, and inputs.

    A program and its inputs depend on its own seed only. The last sample of every input is its first again.
    """
    programs, inputs = [], {}
    for own in range(seed, seed + n_programs):
        rng = np.random.default_rng(own)
        programs.append(random_program(rng))
        for name, values in random_inputs(programs[-1], N_STEPS, N_SAMPLES, rng).items():
            values[:, -1] = values[:, 0]
            inputs[f"{own}.{name}"] = values
    return side_by_side(programs, seed), inputs


def random_program(rng: np.random.Generator) -> Program:
    """Return a program of 1 to 4 populations, of 1 to 12 neurons in any layout (or an image), with loops and skips."""
    inputs, bits = {}, {}
    for index in range(1 + (rng.random() < 0.2)):
        inputs[f"in{index}"] = random_shape(rng)
        if rng.random() < 0.3:
            bits[f"in{index}"] = int(rng.integers(1, 25))
    sources = [Source(name, shape, name in bits, bits.get(name, 1) < 6) for name, shape in inputs.items()]
    populations: list[LoihiPopulation] = []
    projections: list[CodedProjection] = []
    for index in range(rng.integers(1, 5)):
        name, source = f"p{index}", sources[rng.integers(len(sources))]
        first, shape = random_feed(rng, source, name)
        population = random_population(rng, name, shape, KINDS[rng.integers(len(KINDS))])
        populations.append(population)
        projections.append(first)
        if population.model.fires:
            sources.append(as_source(population))
    for _ in range(rng.integers(0, 4)):
        source, target = sources[rng.integers(len(sources))], populations[rng.integers(len(populations))]
        projections.append(random_join(rng, source, target))
    order = rng.permutation(len(projections))
    return Program(
        "loihi2",
        "lava",
        inputs,
        tuple(populations),
        tuple(projections[i] for i in order),
        (populations[-1].name,),
        1e-3,
        "nir",
        {},
        message_bits=bits,
    )


def random_inputs(program: Program, n_steps: int, n_samples: int, rng: np.random.Generator) -> Inputs:
    """Return spikes uint8, or payloads int32 that use all their bits, ``[n_steps, n_samples, *shape]``."""
    inputs: Inputs = {}
    for name, shape in program.inputs.items():
        extent = (n_steps, n_samples, *shape)
        spikes = (rng.random(extent) < rng.choice([0.05, 0.3, 0.9])).astype(np.uint8)
        if name in program.message_bits:
            limit = 1 << (program.message_bits[name] - 1)
            inputs[name] = spikes * rng.integers(-limit, limit, extent).astype(np.int32)
        else:
            inputs[name] = spikes
    return inputs


def side_by_side(programs: Sequence[Program], first: int = 0) -> Program:
    """Return one program whose disjoint parts are the given ones, in whose names ``first``, ``first + 1``, ... lead."""
    inputs, bits = {}, {}
    populations: list[LoihiPopulation] = []
    projections: list[CodedProjection] = []
    for index, program in enumerate(programs, first):
        inputs.update({f"{index}.{name}": shape for name, shape in program.inputs.items()})
        bits.update({f"{index}.{name}": n for name, n in program.message_bits.items()})
        populations += [replace(p, name=f"{index}.{p.name}") for p in program.populations]
        projections += [
            replace(p, source=f"{index}.{p.source}", target=f"{index}.{p.target}") for p in program.projections
        ]
    return replace(
        programs[0],
        inputs=inputs,
        populations=tuple(populations),
        projections=tuple(projections),
        outputs=tuple(p.name for p in populations),
        message_bits=bits,
    )


def differences(recording: Recording, traces: Traces) -> dict[str, str]:
    """Return which populations differ from the twin in spikes (or value), u or v, and where first."""
    found = {}
    for node, observed in recording.nodes.items():
        for key, values in observed.items():
            expected = getattr(traces, "v" if key == "value" else key)[node]
            wrong = np.argwhere(values.reshape(expected.shape) != expected)
            if len(wrong):
                found.setdefault(node, f"{key} first at [t, sample, neuron] {wrong[0].tolist()}")
    return found


def census(program: Program) -> Counter[str]:
    """Return how many populations, neurons and projections of each kind there are."""
    found: Counter[str] = Counter(process_of(p) for p in program.populations)
    found["neurons"] = sum(p.size for p in program.populations)
    found.update(p.kind for p in program.projections)
    found.update(f"{len(p.shape)} axes" for p in program.populations)
    shapes = program.shapes
    found["reshaped"] = sum(
        p.is_conv and p.output_shape(shapes[p.source]) != shapes[p.target] for p in program.projections
    )
    found["delayed"] = sum(p.delay > 1 for p in program.projections)
    found["graded"] = sum(p.message_bits > 0 for p in program.projections)
    return found


def as_source(population: LoihiPopulation) -> Source:
    """Return what projections from a population need to know."""
    most = population.model.max_spikes
    return Source(population.name, population.shape, population.is_graded, most is not None and most <= MOST_TO_CONV)


def random_shape(rng: np.random.Generator) -> Shape:
    """Return 1 to 12 neurons in any layout, or a small image."""
    if rng.random() < 0.5:
        return layout(rng, int(rng.integers(1, 13)))
    return (int(rng.choice([1, 2, 4])), int(rng.integers(2, 5)), int(rng.integers(2, 5)))


def layout(rng: np.random.Generator, size: int) -> Shape:
    """Return a shape of so many neurons: of 1 to 4 axes, or of none if it is one neuron."""
    if size == 1 and rng.random() < 0.5:
        return ()
    n_axes = int(rng.choice([1, 2, 3, 4], p=[0.45, 0.15, 0.25, 0.15]))
    shape = []
    for _ in range(n_axes - 1):
        shape.append(int(rng.choice([n for n in range(1, size + 1) if size % n == 0])))
        size //= shape[-1]
    return tuple(int(n) for n in rng.permutation([*shape, size]))


def random_feed(rng: np.random.Generator, source: Source, target: str) -> tuple[CodedProjection, Shape]:
    """Return a first projection into a population, and the shape that it makes."""
    if len(source.shape) == 3 and source.to_conv and rng.random() < 0.7:
        conv = random_conv(rng, source, target)
        try:
            shape = conv.output_shape(source.shape)
            return conv, shape if rng.random() < 0.5 else layout(rng, prod(shape))
        except ValueError:
            pass
    size = int(rng.choice([1, rng.integers(1, 13)], p=[0.1, 0.9]))
    return random_matrix(rng, source, target, size), layout(rng, size)


def random_join(rng: np.random.Generator, source: Source, target: LoihiPopulation) -> CodedProjection:
    """Return one more projection into a population: a convolution where one turns up that fits, else a matrix."""
    for _ in range(20 if len(source.shape) == 3 and source.to_conv else 0):
        conv = random_conv(rng, source, target.name)
        try:
            if prod(conv.output_shape(source.shape)) == target.size:
                return conv
        except ValueError:
            pass
    return random_matrix(rng, source, target.name, target.size)


def random_conv(rng: np.random.Generator, source: Source, target: str) -> CodedProjection:
    """Return a convolution, whose kernel may turn out too large."""
    groups = int(rng.choice([g for g in (1, 2, 4) if source.shape[0] % g == 0]))
    pairs = {
        key: (int(rng.integers(low, high)), int(rng.integers(low, high)))
        for key, low, high in (("stride", 1, 3), ("padding", 0, 3), ("dilation", 1, 3))
    }
    extent = (groups * int(rng.integers(1, 3)), source.shape[0] // groups, *rng.integers(1, 4, 2))
    return random_synapses(rng, source, target, extent, **pairs, groups=groups, most=4)


def random_matrix(rng: np.random.Generator, source: Source, target: str, size: int) -> CodedProjection:
    """Return dense or sparse synapses."""
    n_in = prod(source.shape)
    if rng.random() < 0.6:
        return random_synapses(rng, source, target, (size, n_in))
    there = rng.random((n_in, size)) < rng.choice([0.0, 0.3, 0.7, 1.0], p=[0.1, 0.4, 0.4, 0.1])
    _, indices = np.nonzero(there)
    indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return random_synapses(
        rng, source, target, (len(indices),), n_out=size, indices=indices.astype(np.int32), indptr=indptr
    )


def random_synapses(
    rng: np.random.Generator, source: Source, target: str, extent: tuple[int, ...], most: int = 7, **layout: Any
) -> CodedProjection:
    """Return synapses with weights of this extent, truncated as their bits say, and an exponent of at most ``most``."""
    mode, bits = str(rng.choice(list(WEIGHT_RANGES))), int(rng.choice([8, rng.integers(1, 9)]))
    low, high = WEIGHT_RANGES[mode]
    step = 1 << (8 - bits + (mode == "mixed"))
    weight = rng.integers(low, high + 1, extent)
    if rng.random() < 0.5:
        weight = weight // 8
    weight = np.sign(weight) * (np.abs(weight) // step * step)
    return CodedProjection(
        source.name,
        target,
        weight,
        int(rng.choice([0, rng.integers(0, most + 1)])),
        bits,
        mode,
        int(rng.choice([1, 1, 2, rng.integers(2, 9), rng.integers(9, 64)])),
        message_bits=int(rng.integers(1, 25)) if source.graded else 0,
        **layout,
    )


def random_population(rng: np.random.Generator, name: str, shape: Shape, kind: str) -> LoihiPopulation:
    """Return a population of one of the kinds, with codes up to their extremes."""
    n, top = prod(shape), STATE_LIMIT
    model = random_model(rng, kind)
    extras: dict[str, Any] = {}
    mixed = kind == "mix"
    if kind == "TernaryLIF" or (mixed and model.reset == "zero" and model.max_spikes == 1 and rng.random() < 0.5):
        extras["threshold_low_code"] = -codes(rng, n, [0, 1, THRESHOLD_MAX], 0, 400)
    if kind == "v_min" or (mixed and rng.random() < 0.5):
        extras["v_min"] = -codes(rng, n, [0, 1, top - 1], 0, 1 << 15)
    if kind == "second" or (mixed and rng.random() < 0.3):
        extras["du_second"] = codes(rng, n, [0, 1, 4094, 4095], 0, 4096)
    if kind in ("adaptive", "lowering") or (mixed and rng.random() < 0.5):
        extras["adapt_decay"] = codes(rng, n, [0, 1, 4095], 0, 4096)
        extras["adapt_step"] = codes(rng, n, [0, 1, top - 1], 0, 1 << 13)
    counted = model.max_spikes != 1
    threshold = codes(rng, n, [1 if counted else 0, 1, 100_000, THRESHOLD_MAX], 1 if counted else 0, 400)
    if kind == "integrator":
        threshold[:] = THRESHOLD_MAX
    bias = codes(rng, n, [-4096, 4095], -60, 60) * (rng.random() < 0.6)
    return LoihiPopulation(
        name,
        shape,
        du=codes(rng, n, [0, 1, 4094, 4095], 0, 4096),
        dv=codes(rng, n, [0, 1, 4094, 4095], 0, 4096),
        threshold_code=threshold,
        bias_mantissa=bias,
        bias_exponent=int(rng.integers(0, 8)),
        u_init=codes(rng, n, [0, 1 - top, top], -(1 << 16), 1 << 16),
        v_init=codes(rng, n, [0, 1 - top, top - 1], -(1 << 14), 1 << 14),
        latency=0,
        unit=1.0,
        model=model,
        **extras,
    )


def random_model(rng: np.random.Generator, kind: str) -> NeuronModel:
    """Return a neuron model of the kind."""
    interval = int(rng.choice([1, 2, 5, 17]))
    resets = {"reset_interval": interval, "reset_offset": int(rng.integers(0, 20))}
    spike = str(rng.choice(CONDITIONS))
    counts = None if rng.random() < 0.4 else int(rng.integers(2, 25))
    match kind:
        case "LIFReset":
            return NeuronModel(**resets)
        case "integrator":
            return NeuronModel(fires=False)
        case "subtract" | "subtract-late" | "zero-late" | "none" | "subtract-pending":
            return NeuronModel(reset=kind, spike=spike)
        case "lowering":
            return NeuronModel(reset=str(rng.choice(RESETS)), spike=spike, adapts="v")
        case "second":
            return NeuronModel(reset=str(rng.choice(RESETS)), spike=spike, clears_u=str(rng.choice(CLEARED)))
        case "meets":
            return NeuronModel(spike=">=")
        case "counts":
            return NeuronModel(reset=str(rng.choice(["subtract", "subtract-late"])), max_spikes=counts, spike=spike)
        case "refractory":
            return NeuronModel(refractory=int(rng.integers(1, 8)))
        case "mix":
            return NeuronModel(
                reset=str(rng.choice(RESETS)),
                max_spikes=counts if rng.random() < 0.5 else 1,
                refractory=int(rng.choice([0, 1, 3])),
                fires=bool(rng.random() < 0.9),
                spike=spike,
                adapts=str(rng.choice(ADAPTATIONS)),
                clears_u=str(rng.choice(CLEARED)),
                **(resets if rng.random() < 0.5 else {}),
            )
        case _:
            return NeuronModel()


def codes(rng: np.random.Generator, n: int, extremes: list[int], low: int, high: int) -> np.ndarray:
    """Return n codes: in half of all cases one for all, each an extreme or from ``low`` to ``high - 1``."""
    drawn = np.where(rng.random(n) < rng.choice([0.1, 0.4]), rng.choice(extremes, n), rng.integers(low, high, n))
    return np.full(n, drawn[0]) if rng.random() < 0.5 else drawn
