"""Run a program on Lava's simulator: ``python worker.py REQUEST.json``.

This file runs in a Python 3.10 that has only numpy 1 and lava-nc, and in a process session of its own. The package is
not there; the request names the few of its files that need no other, ``modules``, the files ``program``, ``inputs`` and
``output``, and for each population its ``process`` and what is recorded of it, with the type: ``nodes``. ``guard.py``,
which started it, tidies up when the host dies. Progress goes to standard output as lines of JSON, all else to standard
error.

All arithmetic is that of Lava's own process models (tag ``fixed_pt``), but for neurons that Lava does not have: those
are Lava's LIF up to the spike test, and the package's definition after it (``Neuron``). What is added to Lava's: spikes
that enter, states that are read, and samples kept apart. The samples follow one another in one run, ``rows`` steps
each; before the first step of a sample every register of every process gets its initial value, so that each sample runs
as if it were alone, whatever spikes the one before left under way.
"""

import json
import math
import os
import platform
import sys
import time
import traceback
from dataclasses import replace
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace

import numpy as np
from lava.magma.compiler.compiler_graphs import find_processes
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv
from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.lif.models import AbstractPyLifModelFixed, PyLifModelBitAcc, PyLifResetModelBitAcc, PyTernLifModelFixed
from lava.proc.lif.process import LIF, LIFReset, TernaryLIF
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csc_matrix

FORMAT, VERSION = "neurodeploy-program", 4
EXTRA_CODES = ("threshold_low_code", "v_min", "adapt_decay", "adapt_step", "du_second")
"""Codes that a neuron may lack."""

PROCESSES = "backends.lava.processes"
CHANNEL_SLOTS = 4
"""Messages that a channel holds. Lava's 64 would fill a small ``/dev/shm``; all processes walk in step, so few do."""

CHUNK_SECONDS = 0.5
"""How long Lava runs between two lines of progress, about."""


def load(modules):
    """Load files of the package that need numpy and each other alone, from pairs of module name and path."""
    for name, path in modules:
        spec = spec_from_file_location(name, path)
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


def shared(name):
    """Return a module that ``load`` has loaded, by its name within the package."""
    return sys.modules[f"neurodeploy.{name}"]


class Sampled:
    """Keep samples apart, and end the whole run when a step fails, where Lava alone might wait for ever.

    To be mixed into a process model, whose parameters say how many ``rows`` a sample has.
    """

    def run_spk(self):
        """Run one hardware step."""
        try:
            sample, row = divmod(self.time_step - 1, self.proc_params["rows"])
            if row == 0:
                self.start_sample()
            self.run_row(row, sample)
        except BaseException:
            traceback.print_exc()
            shared(PROCESSES).end_group()

    def start_sample(self):
        """Give every register its value before the first step of a sample."""

    def run_row(self, row, sample):
        """Run the step of hardware row ``row`` of a sample."""
        super().run_spk()


class Recorded(Sampled):
    """A neuron that starts from its initial codes and writes what is asked for into shared arrays ``[rows, B, n]``."""

    def start_sample(self):
        """Load the initial codes."""
        self.u[:] = self.proc_params["u_init"]
        self.v[:] = self.proc_params["v_init"]

    def run_row(self, row, sample):
        """Run the step, then record: the spikes sent in it, and the states carried to the next."""
        super().run_row(row, sample)
        for observable, values in self.proc_params["recorded"].items():
            source = {"spikes": "s_out_buff", "value": "v"}.get(observable, observable)
            values[row, sample] = getattr(self, source)

    def reset_voltage(self, spike_vector):
        """Do what a spike does to v, and keep the spikes, which not all of Lava's models do."""
        self.s_out_buff = spike_vector
        super().reset_voltage(spike_vector)


class SampledLif(Recorded, PyLifModelBitAcc):
    """Lava's LIF."""


class SampledTernaryLif(Recorded, PyTernLifModelFixed):
    """Lava's TernaryLIF, whose thresholds may differ between neurons as those of LIF may."""

    vth_hi = LavaPyType(int, np.int32)
    vth_lo = LavaPyType(int, np.int32)


class SampledLifReset(Recorded, PyLifResetModelBitAcc):
    """Lava's LIFReset, which counts the steps of each sample from 1."""

    def run_row(self, row, sample):
        """Run Lava's step under the number that it would have in a run of this sample alone."""
        step, self.time_step = self.time_step, row + 1
        super().run_row(row, sample)
        self.time_step = step


class Neuron(LIF):
    """A programmable neuron; its parameters ``model`` and ``codes`` say what it does otherwise than a LIF."""


@implements(proc=Neuron, protocol=LoihiProtocol)
@requires(CPU)
class NeuronModel(Recorded, AbstractPyLifModelFixed):
    """See Neuron and, for what the parameters mean, ``neurodeploy.ir.codes.NeuronModel``.

    Current, decay, bias, wrapping and clipping are Lava's own; the rest is ``families/loihi/step.py``.
    """

    s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    vth = LavaPyType(int, np.int32)

    def start_sample(self):
        """Load the initial codes, and forget spikes, refractory time, adaptation and the second current."""
        super().start_sample()
        given = {**dict.fromkeys(EXTRA_CODES), **self.proc_params["codes"]}
        self._population = SimpleNamespace(model=SimpleNamespace(**self.proc_params["model"]), **given)
        self._step, self._lava = shared("families.loihi.step"), shared("families.loihi.arithmetic").LAVA
        self._state = self._step.State(*(np.zeros(self.v.shape, np.int64) for _ in range(6)))

    def registers(self):
        """Return what a neuron carries, u and v as Lava holds them now."""
        return replace(self._state, u=self.u.astype(np.int64), v=self.v.astype(np.int64))

    def run_row(self, row, sample):
        """Run the step, after a reset if one is due."""
        if self._step.is_reset_row(self._population.model, row):
            self.u[:], self.v[:], self._state.second[:] = 0, 0, 0
        super().run_row(row, sample)

    def scale_bias(self):
        """Let what spikes of before take from v enter it with the bias, after the decay and before v is clipped."""
        super().scale_bias()
        state = self.registers()
        self._owed = self._step.owed_thresholds(self._population, state)
        taken = self._step.lowered(self._population, state) + self._owed * self._step.threshold(self._population)
        self.effective_bias = (self.effective_bias - taken).astype(np.int32)

    def scale_threshold(self):
        """Leave the threshold to the step."""

    def subthr_dynamics(self, activation_in):
        """Run Lava's dynamics, then hold v at 0 where the last spike says so; a second current enters with the bias."""
        entering = np.left_shift(activation_in, self.act_shift).astype(np.int64)
        second, _ = self._step.second_current(self._population, self._state.second, entering, self._lava)
        self.effective_bias = (self.effective_bias + second).astype(np.int32)
        super().subthr_dynamics(activation_in)
        self.v[:] = self._step.held_at_zero(self._population, self._state, self.v)
        self._state = replace(self._state, second=second)

    def spiking_activation(self):
        """Return what is sent: 0 or 1, a count, or -1 too."""
        state = self.registers()
        return self._step.fire(self._population, state, state.v)

    def reset_voltage(self, spike_vector):
        """Do what a spike does to v, and in the steps to come."""
        self.s_out_buff = spike_vector
        self._state = self._step.after_spikes(self._population, self.registers(), spike_vector, self._owed)
        self.u[:], self.v[:] = self._state.u, self._state.v


class Emptied(Sampled):
    """Synapses that start each sample with nothing under way."""

    def start_sample(self):
        """Drop what is under way."""
        self.a_buff[:] = 0


class BuiltOnce(Emptied):
    """Synapses with delays, whose constant matrix of delayed weights is built once instead of in every step."""

    def get_delay_wgts_mat(self, weights, delays, max_delay):
        """Return Lava's own matrix."""
        if "_delayed" not in self.__dict__:
            self._delayed = super().get_delay_wgts_mat(weights, delays, max_delay)
        return self._delayed


class SampledDense(Emptied, PyDenseModelBitAcc):
    """Lava's Dense."""


class SampledDelayDense(BuiltOnce, PyDelayDenseModelBitAcc):
    """Lava's DelayDense."""


class SampledSparse(Emptied, PySparseModelBitAcc):
    """Lava's Sparse."""


class SampledDelaySparse(BuiltOnce, PyDelaySparseModelBitAcc):
    """Lava's DelaySparse."""


class SampledConv(Sampled, PyConvModelFixed):
    """Lava's Conv, with room for sizes above 127, which its 8-bit registers would wrap in silence."""

    kernel_size = LavaPyType(np.ndarray, np.int32)
    stride = LavaPyType(np.ndarray, np.int32)
    padding = LavaPyType(np.ndarray, np.int32)
    dilation = LavaPyType(np.ndarray, np.int32)
    groups = LavaPyType(np.ndarray, np.int32)

    def start_sample(self):
        """Drop what is under way."""
        self.a_buf[:] = 0

    def clamp_precision(self, x):
        """Refuse sums that do not fit; Lava would wrap them, otherwise than those of its other connections."""
        wrapped = super().clamp_precision(x)
        if (wrapped != x).any():
            raise OverflowError(f"inputs sum to {x.min()} to {x.max()}, which the 24 bits of Lava's Conv do not hold")
        return wrapped


class Source(AbstractProcess):
    """Send an array, uint8 or int32 ``[T, samples, n]``, row by row, then zeros to the end of each sample."""

    def __init__(self, *, data, rows, name):
        """Hold the array that is sent."""
        super().__init__(data=data, rows=rows, name=name)
        self.s_out = OutPort(shape=(data.shape[2],))


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
class SourceModel(Sampled, PyLoihiProcessModel):
    """See Source."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def run_row(self, row, sample):
        """Send one row."""
        data = self.proc_params["data"]
        self.s_out.send(data[row, sample] if row < len(data) else np.zeros(data.shape[2], np.int32))


class Delay(AbstractProcess):
    """Send spikes on ``steps`` steps later, at least one; for Conv, which has no delays of its own."""

    def __init__(self, *, size, steps, rows, name):
        """Make the two ports."""
        super().__init__(size=size, steps=steps, rows=rows, name=name)
        self.s_in = InPort(shape=(size,))
        self.s_out = OutPort(shape=(size,))


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
class DelayModel(Sampled, PyLoihiProcessModel):
    """See Delay; sends before it receives, as Lava's connections do, so that loops do not wait for themselves."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def start_sample(self):
        """Drop what is under way."""
        self._line = np.zeros((self.proc_params["steps"], self.proc_params["size"]), np.int32)

    def run_row(self, row, sample):
        """Send the row that entered ``steps`` rows ago and take in the present one."""
        slot = row % len(self._line)
        self.s_out.send(self._line[slot])
        self._line[slot] = self.s_in.recv()


MODELS = {
    LIF: SampledLif,
    LIFReset: SampledLifReset,
    TernaryLIF: SampledTernaryLif,
    Neuron: NeuronModel,
    Dense: SampledDense,
    DelayDense: SampledDelayDense,
    Sparse: SampledSparse,
    DelaySparse: SampledDelaySparse,
    Conv: SampledConv,
    Source: SourceModel,
    Delay: DelayModel,
}


class Net:
    """The processes of a program, wired up, and the shared arrays that they record into.

    Every process but Conv is flat, in the program's own order of neurons; channels, rows and columns appear between
    the ports of a Conv only.
    """

    def __init__(self, program, inputs, nodes):
        """Build all processes; ``nodes`` says of each population its process and what is recorded of it."""
        self.manifest = json.loads(str(program["manifest"][()]))
        if (found := (self.manifest["format"], self.manifest["version"])) != (FORMAT, VERSION):
            raise ValueError(f"the worker reads {FORMAT} {VERSION}, not {found[0]} {found[1]}")
        n_steps, self.n_samples = next(iter(inputs.values())).shape[:2]
        self.rows = n_steps + max(self.manifest["latency"].values(), default=0)
        self.shapes = {name: tuple(shape) for name, shape in self.manifest["inputs"].items()}
        self.recorded = {}
        self.senders = {
            name: Source(data=values.reshape(n_steps, self.n_samples, -1), rows=self.rows, name=name).s_out
            for name, values in inputs.items()
        }
        self.populations = {}
        for entry in self.manifest["populations"]:
            self._add_population(entry, entries(program, f"population/{entry['name']}"), nodes[entry["name"]])
        for index, entry in enumerate(self.manifest["projections"]):
            self._add_projection(entry, entries(program, f"projection/{index}"))

    def _add_population(self, entry, codes, node):
        name, shape = entry["name"], tuple(entry["shape"])
        flat = (self.rows, self.n_samples, math.prod(shape))
        recorded = {
            observable: shared(PROCESSES).shared_array(flat, dtype) for observable, dtype in node["observables"].items()
        }
        for observable, values in recorded.items():
            self.recorded[f"{name}/{observable}"] = values.reshape(self.rows, self.n_samples, *shape)
        lif = new_neuron(node["process"], entry, codes)
        added = {"rows": self.rows, "recorded": recorded, "u_init": codes["u_init"], "v_init": codes["v_init"]}
        for key, value in {**added, "model": entry["model"], "codes": codes}.items():
            lif.proc_params[key] = value
        self.shapes[name], self.senders[name], self.populations[name] = shape, lif.s_out, lif

    def _add_projection(self, entry, synapses):
        name = f"{entry['source']} -> {entry['target']}"
        sender, receiver = self.senders[entry["source"]], self.populations[entry["target"]].a_in
        weight = synapses["weight"].astype(np.int32)
        if entry["stride"] is not None:
            self._add_conv(entry, weight, name, sender, receiver)
            return
        options = {
            "weight_exp": entry["exponent"],
            "num_weight_bits": entry["weight_bits"],
            "num_message_bits": entry["message_bits"],
            "sign_mode": SignMode[entry["sign_mode"].upper()],
            "rows": self.rows,
            "name": name,
        }
        if entry["n_out"] is not None:
            dense = new_sparse(entry, weight, synapses, sender.size, options)
        elif entry["delay"] == 1:
            dense = Dense(weights=weight, **options)
        else:
            dense = DelayDense(weights=weight, delays=entry["delay"] - 1, **options)
        sender.connect(dense.s_in)
        dense.a_out.connect(receiver)

    def _add_conv(self, entry, weight, name, sender, receiver):
        """Add a Conv between ports of (rows, columns, channels), and a true one, so that kernels are turned round."""
        channels, *extent = self.shapes[entry["source"]]
        extent = [1, *extent][-2:]
        conv = Conv(
            weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)) << entry["exponent"],
            input_shape=(*extent, channels),
            stride=tuple(entry["stride"]),
            padding=tuple(entry["padding"]),
            dilation=tuple(entry["dilation"]),
            groups=entry["groups"],
            num_message_bits=entry["message_bits"],
            name=name,
        )
        conv.proc_params["rows"] = self.rows
        if entry["delay"] > 1:
            delay = Delay(size=sender.size, steps=entry["delay"] - 1, rows=self.rows, name=f"{name} (delay)")
            sender.connect(delay.s_in)
            sender = delay.s_out
        sender.reshape((channels, *extent)).transpose((1, 2, 0)).connect(conv.s_in)
        conv.a_out.transpose((2, 0, 1)).reshape((conv.a_out.size,)).connect(receiver)


def entries(arrays, prefix):
    """Return the arrays whose names begin with a prefix, by what follows."""
    return {key[len(prefix) + 1 :]: arrays[key] for key in arrays.files if key.rpartition("/")[0] == prefix}


def new_neuron(process, entry, codes):
    """Return the process of a population."""
    common = {
        "shape": (math.prod(entry["shape"]),),
        "du": one_or_all(codes["du"]),
        "dv": one_or_all(codes["dv"]),
        "bias_mant": one_or_all(codes["bias_mantissa"]),
        "bias_exp": entry["bias_exponent"],
        "name": entry["name"],
    }
    threshold, model = one_or_all(codes["threshold_code"]), entry["model"]
    if process == "TernaryLIF":
        return TernaryLIF(vth_hi=threshold, vth_lo=one_or_all(codes["threshold_low_code"]), **common)
    if process == "LIFReset":
        resets = {key: model[key] for key in ("reset_interval", "reset_offset")}
        return LIFReset(vth=threshold, **resets, **common)
    return {"LIF": LIF, "custom": Neuron}[process](vth=threshold, **common)


def new_sparse(entry, weight, synapses, n_in, options):
    """Return the process of sparse synapses, whose delays Lava wants as a matrix of the same form as the weights."""
    weights = csc_matrix((weight, synapses["indices"], synapses["indptr"]), (entry["n_out"], n_in)).tocsr()
    if entry["delay"] == 1:
        return Sparse(weights=weights, **options)
    delays = weights.astype(np.int64)
    delays.data[:] = entry["delay"] - 1
    return DelaySparse(weights=weights, delays=delays, max_delay=entry["delay"] - 1, **options)


def one_or_all(codes):
    """Return a plain integer where all neurons share it, which is what Lava documents, else the array."""
    return int(codes[0]) if (codes == codes[0]).all() else codes


def run(net, emit, watchdog):
    """Run every connected part of a network for all samples; ``emit`` is told of progress."""
    parts, seen = [], set()
    for lif in net.populations.values():
        if lif not in seen:
            seen.update(find_processes(lif))
            parts.append(lif)
    n_steps = net.rows * net.n_samples
    for index, process in enumerate(parts):
        config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=MODELS)
        process.create_runtime(run_cfg=config, compile_config={"pypy_channel_size": CHANNEL_SLOTS})
        watchdog.running = True
        done, chunk = 0, 1
        while done < n_steps:
            chunk = min(chunk, n_steps - done)
            start = time.monotonic()
            process.run(RunSteps(chunk))
            done += chunk
            chunk = max(1, int(chunk * min(4, CHUNK_SECONDS / (time.monotonic() - start + 1e-9))))
            emit(progress=[index * n_steps + done, len(parts) * n_steps])
        watchdog.running = False
        process.stop()


def main(request_path):
    """Serve one request."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def emit(**message):
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    with open(request_path) as stream:
        request = json.load(stream)
    load(request["modules"])
    watchdog = shared(PROCESSES).prepare()
    with np.load(request["program"]) as program, np.load(request["inputs"]) as inputs:
        net = Net(program, dict(inputs), request["nodes"])
    run(net, emit, watchdog)
    versions = {"lava-nc": version("lava-nc"), "numpy": np.__version__, "python": platform.python_version()}
    shared(PROCESSES).save(request["output"], net.recorded, {"versions": versions})


if __name__ == "__main__":
    main(sys.argv[1])
