"""Run programs on nengo-loihi's emulator or on brian2-loihi; Python 3.10 with numpy 1, nothing of neurodeploy.

    python tools/loihi_judges.py nengo|brian PROGRAMS.npz TRACES.npz

``PROGRAMS.npz`` holds ``manifest``, one JSON text, and arrays, and ``TRACES.npz`` what each population did; both as
:mod:`prove_loihi` writes and reads them. Rows are hardware steps; a spike of row t arrives in row t + delay.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Traces = dict[str, Any]

TOP = 2**23 - 1
"""Largest v, as large below 0."""


def run_nengo(program: dict[str, Any], arrays: Arrays, x: Any) -> Traces:
    """Return spikes, u and v ``[T, n]`` of each population on nengo-loihi's emulator; connections take one step."""
    from nengo_loihi.block import Axon, LoihiBlock, Synapse
    from nengo_loihi.builder import Model
    from nengo_loihi.emulator import EmulatorInterface
    from nengo_loihi.inputs import SpikeInput

    model = Model()
    source = SpikeInput(x.shape[1])
    for t, row in enumerate(x, start=1):
        source.add_spikes(t, np.flatnonzero(row), permanent=True)
    model.add_input(source)
    blocks: dict[str, Any] = {}
    for name in program["populations"]:
        codes = {key: arrays[f"{name}/{key}"].astype(np.int32) for key in ("du", "dv", "threshold", "bias")}
        block = blocks[name] = LoihiBlock(len(codes["du"]), label=name)
        own = block.compartment
        own.decay_u, own.decay_v, own.vth, own.bias = codes["du"], codes["dv"], codes["threshold"] << 6, codes["bias"]
        own.refract_delay = np.full(block.n_neurons, 1 + program["refractory"][name], np.int32)
        own.vmin, own.vmax, own.scale_u, own.scale_v = -TOP, TOP, False, False
        model.add_block(block)
    for index, p in enumerate(program["projections"]):
        weight = arrays[f"weight {index}"].astype(np.int32).T << (6 + p["exponent"])
        synapse, axon = Synapse(len(weight)), Axon(len(weight))
        synapse.set_weights(np.zeros(weight.shape))
        synapse.weights = [row[np.newaxis] for row in weight]
        blocks[p["target"]].add_synapse(synapse)
        axon.target = synapse
        (source if p["source"] == "in" else blocks[p["source"]]).add_axon(axon)
    emulator = EmulatorInterface(model, seed=0)
    state, slices = emulator.compartment, {b.label: part for b, part in emulator.block_info.slices.items()}
    for name, part in slices.items():
        state.current[part], state.voltage[part] = arrays[f"{name}/u_init"], arrays[f"{name}/v_init"]
    rows = []
    for _ in range(len(x)):
        emulator.step()
        rows.append([state.spiked.copy(), state.current.copy(), state.voltage.copy()])
    found = {}
    for name, part in slices.items():
        for i, key in enumerate(("spikes", "u", "v")):
            found[f"{name}/{key}"] = np.array([row[i][part] for row in rows]).astype(np.int64)
    return found


def run_brian(program: dict[str, Any], arrays: Arrays, x: Any) -> Traces:
    """Return spikes, u and v ``[T, n]`` of each population on brian2-loihi, all of whose neurons share their codes."""
    import brian2
    import brian2_loihi as loihi

    brian2.prefs.codegen.target = "numpy"
    times, neurons = np.nonzero(x)
    # What a generator sends arrives in the same step, and what a neuron fires in the next one.
    groups: dict[str, Any] = {"in": loihi.LoihiSpikeGeneratorGroup(x.shape[1], neurons, times + 1)}
    monitors: dict[str, Any] = {}
    objects: list[Any] = [groups["in"]]
    for name in program["populations"]:
        codes = {key: int(arrays[f"{name}/{key}"][0]) for key in ("du", "dv", "threshold")}
        n = len(arrays[f"{name}/du"])
        group = groups[name] = loihi.LoihiNeuronGroup(
            n,
            refractory=1 + program["refractory"][name],
            threshold_v_mant=codes["threshold"],
            decay_v=codes["dv"],
            decay_I=codes["du"] + 1,
        )
        # v sees the current before it decays.
        u = brian2.StateMonitor(group, "I", record=True, when="before_groups")
        v = brian2.StateMonitor(group, "v", record=True, when="end")
        monitors[name] = (u, v, brian2.SpikeMonitor(group))
        objects += [group, *monitors[name]]
    for index, p in enumerate(program["projections"]):
        weight, sign = arrays[f"weight {index}"].astype(int), ("mixed", "excitatory", "inhibitory").index(p["sign"]) + 1
        synapses = loihi.LoihiSynapses(
            groups[p["source"]], groups[p["target"]], delay=p["delay"] - 1, w_exp=p["exponent"], sign_mode=sign
        )
        targets, sources = np.indices(weight.shape).reshape(2, -1)
        synapses.connect(i=sources, j=targets)
        synapses.w = weight.ravel()
        objects.append(synapses)
    loihi.LoihiNetwork(*objects).run(len(x))
    found = {}
    for name, (u, v, spikes) in monitors.items():
        fired = np.zeros((len(x), groups[name].N), np.int64)
        fired[np.rint(np.asarray(spikes.t / brian2.ms)).astype(int), np.asarray(spikes.i)] = 1
        found[f"{name}/spikes"] = fired
        found[f"{name}/u"], found[f"{name}/v"] = (np.rint(np.asarray(m)).astype(np.int64).T for m in (u.I, v.v))
    return found


def main() -> int:
    """Run every program of a file and write what it did."""
    judge, source, target = sys.argv[1:]
    warnings.simplefilter("ignore")
    run = {"nengo": run_nengo, "brian": run_brian}[judge]
    found: Traces = {}
    with np.load(source, allow_pickle=False) as stored:
        for key, program in json.loads(str(stored["manifest"])).items():
            arrays = {name[len(key) + 1 :]: stored[name] for name in stored.files if name.startswith(f"{key}/")}
            traces = run(program, arrays, arrays["x"])
            found.update({f"{key}/{name}": values for name, values in traces.items()})
    np.savez_compressed(target, **found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
