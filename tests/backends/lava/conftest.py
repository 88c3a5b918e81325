"""A small program, and the plain replay that Lava is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.lava.backend import Lava
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program

CODES = {"du": 4095, "dv": 300, "threshold_code": 150, "bias_mantissa": 0, "bias_exponent": 0, "u_init": 0, "v_init": 0}
MIXED_8 = {"exponent": 0, "weight_bits": 8, "sign_mode": "mixed", "delay": 1}


def make_population(name: str, shape: tuple[int, ...], latency: int = 0, **codes: Any) -> LoihiPopulation:
    return LoihiPopulation(name, shape, latency=latency, unit=1.0, **{**CODES, **codes})


def make_projection(source: str, target: str, weight: Any, **options: Any) -> CodedProjection:
    return CodedProjection(source, target, np.asarray(weight, np.int16), **{**MIXED_8, **options})


def make_program(
    inputs: dict[str, tuple[int, ...]], populations: list[LoihiPopulation], projections: list[CodedProjection]
) -> Program:
    outputs = (populations[-1].name,)
    return Program("loihi2", "lava", inputs, tuple(populations), tuple(projections), outputs, 1e-3, "nir", {})


def replay(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute a program with loops and int64, in hardware rows: ``<node>/spikes``, ``v`` and ``u``."""
    n_steps, n_samples = next(iter(inputs.values())).shape[:2]
    rows = n_steps + program.max_latency
    sent = {name: np.zeros((rows, n_samples, *shape), np.int64) for name, shape in program.shapes.items()}
    for name, values in inputs.items():
        sent[name][:n_steps] = values
    result: dict[str, np.ndarray] = {f"{p.name}/spikes": sent[p.name] for p in program.populations}
    for p in program.populations:
        result[f"{p.name}/u"], result[f"{p.name}/v"] = np.zeros_like(sent[p.name]), np.zeros_like(sent[p.name])
    for sample in range(n_samples):
        state = {p.name: (p.u_init.astype(np.int64), p.v_init.astype(np.int64)) for p in program.populations}
        for row in range(rows):
            for p in program.populations:
                u, v, spikes = neuron_step(p, *state[p.name], arriving(program, p.name, sent, row, sample))
                state[p.name] = u, v
                for key, values in (("spikes", spikes), ("v", v), ("u", u)):
                    result[f"{p.name}/{key}"][row, sample] = values.reshape(p.shape)
    return result


def neuron_step(p: LoihiPopulation, u: Any, v: Any, a: Any) -> tuple[Any, Any, Any]:
    u = np.sign(u) * (np.abs(u) * (4096 - (p.du + 1)) >> 12) + (a << 6)
    u = np.where(u > 2**23, u - 2**24, np.where(u <= -(2**23), u + 2**24, u))
    v = np.sign(v) * (np.abs(v) * (4096 - p.dv) >> 12) + u + (p.bias_mantissa.astype(np.int64) << p.bias_exponent)
    v = np.clip(v, 1 - 2**23, 2**23 - 1)
    spikes = v > p.threshold_code.astype(np.int64) << 6
    return u, np.where(spikes, 0, v), spikes


def arriving(program: Program, target: str, sent: dict[str, np.ndarray], row: int, sample: int) -> Any:
    total = np.zeros(program.population(target).size, np.int64)
    for projection in program.projections:
        if projection.target == target and row >= projection.delay:
            spikes = sent[projection.source][row - projection.delay, sample]
            weight = projection.weight.astype(np.int64)
            out = correlate(projection, weight, spikes) if projection.is_conv else weight @ spikes.reshape(-1)
            total += out.reshape(-1) << projection.exponent
    return total


def correlate(projection: CodedProjection, weight: Any, spikes: Any) -> Any:
    conv = projection.conv()
    (stride, padding, dilation), groups = (conv.stride, conv.padding, conv.dilation), conv.groups
    image = np.pad(spikes, ((0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    out = np.zeros(projection.output_shape(spikes.shape), np.int64)
    n_in, n_out = weight.shape[1], weight.shape[0] // groups
    for c, y, x in np.ndindex(*out.shape):
        for k, i, j in np.ndindex(*weight.shape[1:]):
            source = image[c // n_out * n_in + k, y * stride[0] + i * dilation[0], x * stride[1] + j * dilation[1]]
            out[c, y, x] += weight[c, k, i, j] * source
    return out


@pytest.fixture(scope="session")
def lava() -> Lava:
    """The real thing, or a skip with the reason it gives."""
    backend = Lava()
    if reason := backend.missing():
        pytest.skip(reason)
    return backend


@pytest.fixture(scope="session")
def population() -> Callable[..., LoihiPopulation]:
    return make_population


@pytest.fixture(scope="session")
def projection() -> Callable[..., CodedProjection]:
    return make_projection


@pytest.fixture(scope="session")
def program_of() -> Callable[..., Program]:
    return make_program


@pytest.fixture(scope="session")
def replayed() -> Callable[..., dict[str, np.ndarray]]:
    return replay


@pytest.fixture(scope="session")
def chain() -> Program:
    """Three neurons that fire at times, and a fourth that sums them; max latency 2."""
    first = make_population("first", (3,), latency=1, bias_mantissa=[900, 1300, 0])
    last = make_population("last", (1,), latency=2)
    weights = make_projection("in", "first", np.full((3, 2), 100)), make_projection("first", "last", [[60, 80, 100]])
    return make_program({"in": (2,)}, [first, last], list(weights))
