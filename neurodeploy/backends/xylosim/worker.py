"""Run a configuration on XyloSim: ``python worker.py REQUEST.json``.

This file runs alone, in a Python that has only xylosim, and in a process session of its own; one process runs one
configuration, because XyloSim never frees its neurons. The request holds the arguments of XyloSim's layer, the sizes,
and the names of the files ``inputs`` (a byte for each channel, step and sample) and ``output``. What XyloSim records is
written as it comes, in numbers of 16 bits: for each sample and each chunk of steps the spikes [step][neuron], and the
currents and v [neuron][step], of the hidden neurons, then the same of the outputs, which have one current. Progress
goes to standard output as lines of JSON.
"""

import json
import sys
from array import array
from importlib import import_module
from itertools import chain

NEURONS = ("synapses_in", "synapses_rec", "synapses_out")


def make_layer(request):
    """Return a layer, and the synapses that have to live as long as it does: it keeps bare pointers to them."""
    module = import_module(f"xylosim.v{request['version']}")
    arguments = dict(request["arguments"])
    synapses = {
        key: [[module.XyloSynapse(*synapse) for synapse in source] for source in arguments.pop(key)] for key in NEURONS
    }
    return module.XyloLayer(**synapses, **arguments, name="neurodeploy"), synapses


def run_sample(layer, counts, request, output):
    """Run one sample from rest, and yield how many steps are done after each chunk.

    Args:
        layer: XyloSim's.
        counts: bytes, the spikes of each channel in turn, for each step in turn.
        request: ``n_in``, ``n_steps``, ``chunk`` (steps at once) and ``n_synapses``.
        output: an open file; int16 are appended.
    """
    layer.reset_all()
    n_in, n_steps, chunk = request["n_in"], request["n_steps"], request["chunk"]
    for begin in range(0, n_steps, chunk):
        end = min(begin + chunk, n_steps)
        rows = [list(counts[t * n_in : (t + 1) * n_in]) for t in range(begin, end)]
        spikes_out = layer.evolve(rows)
        # A recording holds the last call's steps only.
        currents = [layer.rec_i_syn, layer.rec_i_syn2][: request["n_synapses"]]
        hidden = [layer.rec_recurrent_spikes, *currents, layer.rec_v_mem]
        for recorded in (*hidden, spikes_out, layer.rec_i_syn_out, layer.rec_v_mem_out):
            array("h", chain.from_iterable(recorded)).tofile(output)
        yield end


def main():
    """Run all samples."""
    with open(sys.argv[1]) as file:
        request = json.load(file)
    with open(request["inputs"], "rb") as file:
        inputs = file.read()
    n_samples, n_steps = request["n_samples"], request["n_steps"]
    layer, synapses = make_layer(request)
    size = n_steps * request["n_in"]
    with open(request["output"], "wb") as output:
        for sample in range(n_samples):
            counts = inputs[sample * size : (sample + 1) * size]
            for done in run_sample(layer, counts, request, output):
                sys.stdout.write(json.dumps({"progress": [sample * n_steps + done, n_samples * n_steps]}) + "\n")
                sys.stdout.flush()
    del layer, synapses


if __name__ == "__main__":
    main()
