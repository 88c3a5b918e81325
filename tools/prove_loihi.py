"""Do our ``loihi`` arithmetic and two independent emulators of Loihi compute the same on random programs?

nengo-loihi 1.1.0 was written with access to the chip, brian2-loihi 0.5.2 was checked against it. Each is given random
programs of CUBA-LIF neurons within what it can express; spikes, u and v of every neuron in every step are compared with
those of the emulator and of its NumPy twin. Where they are known to compute something else, a program may differ from
the first step on in which one of these happens, and not before:

    nengo-loihi   what arrives in one step leaves 21 bits and sign, in which it wraps; u + bias leaves 23 bits and sign,
                  in which that sum wraps as well
    brian2-loihi  u leaves 23 bits and sign, or v reaches its limits: it has neither; a weight of -256 at exponent 7,
                  which it clips

Each program is drawn from a seed of its own, ``--seed`` and those that follow.

    tools/prove-loihi [--programs 100] [--seed 0] [--judge nengo|brian]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LOIHI, STATE_LIMIT
from neurodeploy.families.loihi.codes import WEIGHT_RANGES, LoihiPopulation, NeuronModel
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions

Ints = NDArray[np.int64]

JUDGES = {"nengo": "nengo-loihi", "brian": "brian2-loihi"}
N_STEPS = 80
BATCH = 25
"""Programs for one start of a judge."""


def draw(seed: int, judge: str) -> tuple[LoihiProgram, Ints]:
    """Return a random program that a judge can express, and its input, int64 ``[T, n]`` of 0 and 1."""
    rng = np.random.default_rng((seed, sorted(JUDGES).index(judge)))
    sizes = {"in": int(rng.integers(1, 13))}
    populations, projections = [], []
    for index in range(rng.integers(1, 4)):
        name, n = f"p{index}", int(rng.integers(1, 9))
        populations.append(_population(rng, name, n, judge))
        projections.append(_projection(rng, _one(rng, sizes), name, sizes, n, judge))
        sizes[name] = n
    for _ in range(rng.integers(0, 3)):
        source, target = _one(rng, sizes), _one(rng, [p.name for p in populations])
        projections.append(_projection(rng, source, target, sizes, sizes[target], judge))
    program = Program(
        "loihi1",
        "loihi",
        {"in": (sizes["in"],)},
        tuple(populations),
        tuple(projections),
        (populations[-1].name,),
        1e-3,
        "nir",
        load_target("loihi1").formats(),
    )
    return program, (rng.random((N_STEPS, sizes["in"])) < rng.choice([0.05, 0.3, 0.9])).astype(np.int64)


def _population(rng: np.random.Generator, name: str, n: int, judge: str) -> LoihiPopulation:
    def codes(extremes: list[int], low: int, high: int) -> Ints:
        one = np.where(rng.random(n) < 0.2, rng.choice(extremes, n), rng.integers(low, high, n))
        return np.full(n, one[0]) if judge == "brian" else one

    zeros, bias = np.zeros(n, np.int64), judge == "nengo" and rng.random() < 0.6
    return LoihiPopulation(
        name,
        (n,),
        du=codes([0, 1, 4094, 4095], 0, 4096),
        dv=codes([0, 1, 4094, 4095], 0, 4096),
        threshold_code=codes([0, 1, 131071], 1, 2000),
        bias_mantissa=codes([-4095, 4095], -200, 200) if bias else zeros,
        bias_exponent=int(rng.integers(0, 8)) if bias else 0,
        u_init=zeros if judge == "brian" else codes([0], -(1 << 14), 1 << 14),
        v_init=zeros if judge == "brian" else codes([0], -(1 << 14), 1 << 14),
        latency=0,
        unit=1.0,
        model=NeuronModel(refractory=int(rng.choice([0, 0, 1, 5, 62]))),
    )


def _projection(
    rng: np.random.Generator, source: str, target: str, sizes: dict[str, int], n: int, judge: str
) -> CodedProjection:
    mode = _one(rng, WEIGHT_RANGES)
    low, high = WEIGHT_RANGES[mode]
    weight = rng.integers(low, high + 1, (n, sizes[source]))
    if mode == "mixed":
        weight = weight // 2 * 2
    exponent = int(rng.choice([0, 0, int(rng.integers(0, 5)), int(rng.integers(0, 8))]))
    delay = int(rng.choice([1, int(rng.integers(1, 64))])) if judge == "brian" else 1
    return CodedProjection(source, target, weight, exponent, 8, mode, delay)


def _one(rng: np.random.Generator, names: Iterable[str]) -> str:
    return str(rng.choice(np.array(list(names))))


def express(programs: dict[str, tuple[LoihiProgram, Ints]]) -> dict[str, Any]:
    """Return programs as ``loihi_judges.py`` reads them."""
    manifest, arrays = {}, {}
    for key, (program, x) in programs.items():
        manifest[key] = {
            "populations": [p.name for p in program.populations],
            "refractory": {p.name: p.model.refractory for p in program.populations},
            "projections": [
                {"source": p.source, "target": p.target, "exponent": p.exponent, "delay": p.delay, "sign": p.sign_mode}
                for p in program.projections
            ],
        }
        arrays[f"{key}/x"] = x
        for population in program.populations:
            bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
            own = {"du": population.du, "dv": population.dv, "threshold": population.threshold_code, "bias": bias}
            own |= {"u_init": population.u_init, "v_init": population.v_init}
            arrays.update({f"{key}/{population.name}/{name}": values for name, values in own.items()})
        arrays.update({f"{key}/weight {i}": p.weight for i, p in enumerate(program.projections)})
    return {"manifest": np.array(json.dumps(manifest)), **arrays}


def judged(python: Path, judge: str, programs: dict[str, tuple[LoihiProgram, Ints]]) -> dict[str, Ints]:
    """Return what a judge computes, by seed, population and ``spikes``, ``u`` or ``v``, ``[T, n]``."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "programs.npz"), Path(folder, "traces.npz")
        np.savez_compressed(source, **express(programs))
        worker = Path(__file__).with_name("loihi_judges.py")
        command = [str(python), "-I", str(worker), judge, str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{JUDGES[judge]} did not run:\n{done.stderr}")
        with np.load(target) as found:
            return {key: found[key] for key in found.files}


def limits_met(program: LoihiProgram, traces: definition.Traces, judge: str) -> dict[str, int]:
    """Return the known differences from a judge that a run meets, each with the row in which it first does."""
    found: dict[str, int] = {}

    def note(what: str, rows: NDArray[np.bool_]) -> None:
        if rows.any():
            found[what] = min(found.get(what, N_STEPS), int(rows.argmax()))

    counted = traces.counters
    for index, population in enumerate(program.populations):
        u = traces.u[population.name][:, 0]
        bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
        if judge == "nengo":
            note("input sum beyond 21 bits", counted["input_wraps"][:, 0, index] > 0)
            beyond = (u + bias >= STATE_LIMIT) | (u + bias < -STATE_LIMIT)
            note("u + bias beyond 23 bits", beyond.any(axis=1))
        else:
            note("u beyond 23 bits", counted["u_wraps"][:, 0, index] > 0)
            note("v at its limit", counted["v_clips"][:, 0, index] > 0)
    if judge == "brian" and any((p.weight == -256).any() and p.exponent == 7 for p in program.projections):
        found["weight -256 at exponent 7"] = 0
    return found


def first_difference(program: LoihiProgram, traces: definition.Traces, own: dict[str, Ints]) -> tuple[int, str] | None:
    """Return the first row in which a judge's spikes, u or v differ from the twin's, and in what; None if none does."""
    found = []
    for name in (p.name for p in program.populations):
        for key in ("spikes", "u", "v"):
            differs = (own[f"{name}/{key}"] != getattr(traces, key)[name][:, 0]).any(axis=1)
            if differs.any():
                found.append((int(differs.argmax()), f"{name}: {key}"))
    return min(found, default=None)


def compare(python: Path, judge: str, seeds: range) -> tuple[Counter[str], list[str]]:
    """Return how many programs are equal or differ as is known, by cause, and those that nothing explains."""
    programs = {str(seed): draw(seed, judge) for seed in seeds}
    theirs, counts = judged(python, judge, programs), Counter[str]()
    unexplained: list[str] = []
    options = RunOptions(record=("spikes", "u", "v"), raw_time=True)
    for key, (program, x) in programs.items():
        traces = definition.run(program, {"in": x[:, np.newaxis]}, LOIHI)
        recording = Emulator().run(program, {"in": x[:, np.newaxis].astype(np.uint8)}, options)
        emulated = {f"{n}/{k}": v[:, 0].astype(np.int64) for n, o in recording.nodes.items() for k, v in o.items()}
        if (broken := first_difference(program, traces, emulated)) is not None:
            unexplained.append(f"seed {key}: the emulator differs from its twin in row {broken[0]}, {broken[1]}")
        own = {name[len(key) + 1 :]: values for name, values in theirs.items() if name.startswith(f"{key}/")}
        different = first_difference(program, traces, own)
        met = limits_met(program, traces, judge)
        causes = sorted(what for what, row in met.items() if different is not None and row <= different[0])
        if different is None:
            counts["equal"] += 1
        elif causes:
            counts[" and ".join(causes)] += 1
        else:
            unexplained.append(f"seed {key}: row {different[0]}, {different[1]}")
    return counts, unexplained


def main() -> int:
    """Draw, run and compare; return 1 if anything differs that is not known to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100, help="how many random programs for each judge (100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one (0)")
    parser.add_argument("--judge", choices=list(JUDGES), help="one of the two; both if left out")
    parser.add_argument("--python", type=Path, required=True, help="interpreter that has nengo-loihi and brian2-loihi")
    options = parser.parse_args()
    if options.programs < 1 or options.seed < 0:
        parser.error("there must be at least one program, and seeds are 0 or more")
    failed = False
    for judge in [options.judge] if options.judge else list(JUDGES):
        counts, start = Counter[str](), time.monotonic()
        unexplained: list[str] = []
        end = options.seed + options.programs
        for seed in range(options.seed, end, BATCH):
            found, wrong = compare(options.python, judge, range(seed, min(seed + BATCH, end)))
            counts, unexplained = counts + found, unexplained + wrong
            print(f"{JUDGES[judge]}: seeds to {min(seed + BATCH, end) - 1}", file=sys.stderr, flush=True)
        equal = counts.pop("equal", 0)
        print(f"{JUDGES[judge]}: {equal} of {options.programs} programs equal in spikes, u and v of {N_STEPS} steps")
        for causes, count in counts.most_common():
            print(f"  {count} differ as is known, from the step on: {causes}")
        for text in unexplained:
            print(f"  {text}: DIFFERENT")
        print(f"  {time.monotonic() - start:.0f} s")
        failed = failed or bool(unexplained)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
