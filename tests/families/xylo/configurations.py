"""Random configurations over the ranges of all registers, and their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodeploy.families.xylo.codes import NO_ALIAS, OUTPUT_MAX, STATE_MAX, STATE_MIN, XyloCodes, XyloNeurons, XyloRun

KINDS = ("typical", "recurrent", "aliases", "multi-spike", "saturating", "extreme", "one-synapse", "version-1")


@dataclass(frozen=True, eq=False)
class Case:
    seed: int
    kind: str
    codes: XyloCodes
    inputs: np.ndarray


def draw(seed: int) -> Case:
    """Return the configuration of a seed; every eighth seed is of one kind."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    own, kind = kind, (str(rng.choice(KINDS[:6])) if kind == "version-1" else kind)
    n_in, n, n_out = (int(rng.integers(1, most + 1)) for most in (10, 20, 6))
    n_synapses = 1 if kind == "one-synapse" else 2
    version = 1 if own == "version-1" else 2
    wide, few = kind in ("saturating", "extreme"), rng.random() < 0.5
    codes = XyloCodes(
        weight_in=weights(rng, (n_in, n_synapses, n), 0.3 if few else 1.0),
        weight_rec=weights(rng, (n, n_synapses, n), 0.0 if kind == "typical" else 0.2 if few else 0.9),
        weight_out=weights(rng, (n, 1, n_out), 0.5),
        shift_in=shift(rng, kind),
        shift_rec=shift(rng, kind),
        shift_out=shift(rng, kind),
        hidden=neurons(rng, kind, (n_synapses, n), version),
        outputs=neurons(rng, kind, (1, n_out), version),
        alias=aliases(rng, n, 0.7 if kind in ("aliases", "extreme") else 0.0),
        version=version,
    )
    shape = (int(rng.integers(20, 61)), 2, n_in)
    inputs = (rng.random(shape) < rng.uniform(0.1, 0.9)).astype(np.uint8)
    if wide or kind == "multi-spike":
        inputs *= rng.choice([1, 2, 14, 15, 16, 255], shape).astype(np.uint8)
    return Case(seed, own, codes, inputs)


def weights(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> np.ndarray:
    most = rng.choice([3, 40, 128])
    drawn = rng.integers(-most, min(most, 127), shape, endpoint=True)
    drawn[rng.random(shape) < 0.05] = -128 if most == 128 else 0
    return drawn * (rng.random(shape) < share)


def shift(rng: np.random.Generator, kind: str) -> int:
    return int(rng.integers(0, 15, endpoint=True) if kind == "extreme" else rng.integers(0, 7, endpoint=True))


def neurons(rng: np.random.Generator, kind: str, shape: tuple[int, int], version: int) -> XyloNeurons:
    n = shape[1]
    wide = kind in ("saturating", "extreme")
    low, high = (0, 15) if wide or rng.random() < 0.5 else (1, 6)
    threshold = rng.integers(1, {"multi-spike": 60, "saturating": STATE_MAX, "extreme": STATE_MAX}.get(kind, 1500), n)
    bias = rng.integers(-100, 100, n)
    if wide:
        bias = rng.integers(STATE_MIN, STATE_MAX, n) >> rng.integers(0, 12, n)
    if kind == "extreme":
        edges = rng.choice([STATE_MIN, -20_000, -1, 0, 1, STATE_MAX], n)
        threshold = np.where(rng.random(n) < 0.4, edges, threshold)
        bias = np.where(rng.random(n) < 0.3, rng.choice([STATE_MIN, STATE_MAX, 0], n), bias)
    return XyloNeurons(
        dash_syn=rng.integers(low, high, shape, endpoint=True),
        dash_mem=rng.integers(low, high, n, endpoint=True) * (rng.random(n) < (0.8 if wide else 1.0)),
        threshold_code=threshold,
        bias_code=bias * (version == 2),
    )


def aliases(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    """Some to themselves, some to later and some to earlier ones, so that chains form."""
    return np.where(rng.random(n) < share, rng.integers(0, n, n), NO_ALIAS)


def reached(case: Case, run: XyloRun) -> dict[str, Any]:
    """Return for each extreme whether a run reaches it."""
    codes, alias = case.codes, case.codes.alias
    aliased = np.flatnonzero(alias != NO_ALIAS)
    return {
        "v at its top": run.v.max(initial=0) == STATE_MAX,
        "v at its bottom": run.v.min(initial=0) == STATE_MIN,
        "a current near its top": run.i.max(initial=0) > STATE_MAX // 2,
        "a current near its bottom": run.i.min(initial=0) < STATE_MIN // 2,
        "several spikes in a step": run.spikes.max(initial=0) > 1,
        "as many spikes as there can be": run.spikes.max(initial=0) == 31,
        "an output that fires": run.spikes_out.max(initial=0) == OUTPUT_MAX,
        "an input above 15": case.inputs.max(initial=0) > 15,
        "an alias to a later neuron": (alias > np.arange(len(alias))).any(),
        "an alias to an earlier neuron": (alias[aliased] < aliased).any(),
        "an alias to itself": (alias[aliased] == aliased).any(),
        "a chain of aliases": np.isin(alias[aliased], aliased[alias[aliased] != aliased]).any(),
        "version 1": codes.version == 1,
        "one synapse": codes.hidden.n_synapses == 1,
        "a decay shift of 0 on a current": (codes.hidden.dash_syn == 0).any(),
        "a decay shift of 0 on v": (codes.hidden.dash_mem == 0).any(),
        "v held at its bottom by a decay shift of 0": (
            (run.v[1:] == STATE_MIN) & (run.v[:-1] == STATE_MIN) & (codes.hidden.dash_mem == 0)
        ).any(),
        "a decay shift of 15": (codes.hidden.dash_mem == 15).any(),
        "a weight that its shift wraps": abs(codes.weight_in).max(initial=0) << codes.shift_in > STATE_MAX + 1,
        "a weight of -128": (codes.weight_rec == -128).any(),
        "a threshold of 0 or below": (codes.hidden.threshold_code <= 0).any(),
        "a bias at its end": (codes.hidden.bias_code == STATE_MIN).any(),
    }
