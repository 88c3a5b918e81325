"""What does fine-tuning in Xylo's integers give back of what a coarse quantisation loses?

The networks are those of bench_xylo_quantise.py: 16 inputs, 64 hidden neurons and 10 outputs, trained on scikit-learn's
digits as rates of spikes. Each is compiled for Xylo Audio 3 in several ways, and fine-tuned from each on the digits
that it was trained on: with calibration data, without, and with scales that leave its largest weights few codes, where
thresholds are left to the same rules. Measured on digits that nothing has seen, in the emulator, which equals XyloSim
to the bit: accuracy, and the mean absolute error of output spike counts against the float model.

    tools/bench-xylo-finetune [--seeds 0 1 2] [--epochs 12] [--largest 4] [--json FILE]

It returns 1 unless fine-tuning from the coarse scales raises accuracy with every seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_xylo_quantise import CHIP, SIZES, TAUS, TRAINED, accuracy, encode, train
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile_with_plan
from neurodeploy.finetuning.finetune import finetune
from neurodeploy.finetuning.options import Training
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.plan import Plan, PopulationPlan
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear

CALIBRATED = 300
FLOAT_EPOCHS = 30
TOP_CODE = 127


def float_network(weights: list[NDArray[np.float32]], taus: tuple[int, int]) -> Network:
    """Return the network with the dynamics of rockpool's LIFTorch, as our importer reads it."""
    keep_syn, keep_mem, threshold = (np.asarray(x, np.float32) for x in (*(math.exp(-1 / tau) for tau in taus), 1.0))
    layers = []
    for name, n, most in (("hidden", SIZES[1], 31), ("out", SIZES[2], 1)):
        rule = NeuronRule(spike=">=", reset="subtract", max_spikes=most, order="add-decay")
        layers.append(Population(name, (n,), rule, keep_mem, threshold, keep_syn))
    projections = (
        Projection("input", "hidden", (Linear(weights[0].T, name="fc1"),)),
        Projection("hidden", "out", (Linear(weights[1].T, name="fc2"),)),
    )
    return Network({"input": SIZES[:1]}, tuple(layers), projections, ("out",), 1e-3, "rockpool")


def given(images: NDArray[np.float64], labels: NDArray[np.int64], rng: np.random.Generator) -> Data:
    """Return spikes drawn for images."""
    x = encode(images, rng).transpose(1, 0, 2).astype(np.uint8)
    return Data({"input": np.ascontiguousarray(x)}, labels, "digits")


def coarse_plan(fine: Plan, network: Network, largest: int) -> Plan:
    """Return scales with which the largest weight of a neuron is at most ``largest`` codes; the rest is left open."""
    populations = {}
    for population in network.populations:
        own = fine.populations[population.name]
        assert own.codes_per_volt is not None
        scale = own.codes_per_volt * largest / TOP_CODE
        populations[population.name] = PopulationPlan(codes_per_volt=scale, channel_gain=own.channel_gain)
    return Plan(target=fine.target, populations=populations, projections=fine.projections)


def scored(counts: NDArray[np.int64], floats: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return accuracy, and the error against the float model's counts."""
    return {"accuracy": accuracy(counts, labels), "error": float(np.abs(counts - floats).mean())}


def measure(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train a network, compile it in each way, fine-tune it, and return what each scores."""
    digits, taus = load_digits(), TAUS[seed % len(TAUS)]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits.data))
    seen, unseen = order[:TRAINED], order[TRAINED:]
    weights = train(digits.data[seen], torch.tensor(digits.target[seen]), taus, seed, FLOAT_EPOCHS)
    network = float_network([weight.numpy() for weight in weights], taus)
    held_out = given(digits.data[unseen], digits.target[unseen], rng)
    labels = np.asarray(held_out.labels)

    def counts(backend: Any, what: Any) -> NDArray[np.int64]:
        spikes = backend.run(what, held_out.x, RunOptions()).nodes["out"]["spikes"]
        return np.asarray(spikes.sum(axis=0, dtype=np.int64))

    def draw(epoch: int) -> Data:
        own = np.random.default_rng((seed, epoch))
        return given(digits.data[seen], digits.target[seen], own)

    floats = counts(Reference(), network)
    calibration = given(digits.data[seen[:CALIBRATED]], digits.target[seen[:CALIBRATED]], rng)
    fine = compile_with_plan(network, CHIP, calibrate=calibration)
    plans = {
        "calibrated": fine.plan,
        "no data": compile_with_plan(network, CHIP).plan,
        "coarse": compile_with_plan(network, CHIP, plan=coarse_plan(fine.plan, network, options.largest)).plan,
    }
    found: dict[str, Any] = {"seed": seed, "float": accuracy(floats, labels)}
    how = Training(epochs=options.epochs, patience=options.epochs, rate=options.rate, imitation=options.imitation)
    for name, plan in plans.items():
        before = compile_with_plan(network, CHIP, plan=plan).program
        started = time.perf_counter()
        tuned = finetune(network, draw, CHIP, plan=plan, training=how)
        found[name] = {
            "before": scored(counts(Emulator(), before), floats, labels),
            "after": scored(counts(Emulator(), tuned.program), floats, labels),
            "best_epoch": tuned.best.number,
            "seconds": time.perf_counter() - started,
        }
    return found


def main() -> int:
    """Measure all seeds; return 1 where fine-tuning from coarse scales raises no accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one network each (0 1 2)")
    parser.add_argument("--epochs", type=int, default=12, help="of fine-tuning (12)")
    parser.add_argument("--largest", type=int, default=4, help="codes of the largest weights in the coarse start (4)")
    parser.add_argument("--rate", type=float, default=0.01, help="of learning (0.01)")
    parser.add_argument("--imitation", type=float, default=0.5, help="weight of the float model's answers (0.5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for seed in options.seeds:
        results.append(found := measure(seed, options))
        print(f"seed {seed}: float accuracy {found['float']:.2%}")
        for name in ("calibrated", "no data", "coarse"):
            one = found[name]
            said = [f"{one[when]['accuracy']:.2%} (error {one[when]['error']:.3f})" for when in ("before", "after")]
            print(f"  {name:11} {said[0]} -> {said[1]}, epoch {one['best_epoch']}, {one['seconds']:.0f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    better = [one["coarse"]["after"]["accuracy"] > one["coarse"]["before"]["accuracy"] for one in results]
    return 0 if all(better) else 1


if __name__ == "__main__":
    sys.exit(main())
