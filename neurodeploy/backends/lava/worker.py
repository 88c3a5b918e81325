"""Run a program on Lava's simulator: ``python worker.py REQUEST.json``.

This file runs alone, in a Python 3.10 that has only numpy 1 and lava-nc, and in a process session of its own; nothing
else of the package is there. The request names the files ``program``, ``inputs`` and ``output``, the ``folder`` that
holds them and goes when the host dies, and the ``nodes`` and ``observables`` to record. Progress goes to standard
output as lines of JSON, all else to standard error.

All arithmetic is that of Lava's own process models (tag ``fixed_pt``). What is added to them here: spikes that enter,
states that are read, and samples kept apart. The samples follow one another in one run, ``rows`` steps each; before
the first step of a sample every register of every process gets its initial value, so that each sample runs as if it
were alone, whatever spikes the one before left under way.
"""

import ctypes
import json
import math
import mmap
import os
import platform
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from importlib.metadata import version

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
from lava.proc.lif.models import PyLifModelBitAcc
from lava.proc.lif.process import LIF
from lava.utils.weightutils import SignMode

FORMAT, VERSIONS = "neurodeploy-program", (1, 2)
CODES = ("du", "dv", "threshold_code", "bias_mantissa", "u_init", "v_init")
DTYPES = {"spikes": np.uint8, "v": np.int32, "u": np.int32}
CHANNEL_SLOTS = 4
"""Messages that a channel holds. Lava's 64 would fill a small ``/dev/shm``; all processes walk in step, so few do."""

CHUNK_SECONDS = 0.5
"""How long Lava runs between two lines of progress, about."""


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
            end_group()

    def start_sample(self):
        """Give every register its value before the first step of a sample."""

    def run_row(self, row, sample):
        """Run the step of hardware row ``row`` of a sample."""
        super().run_spk()


class SampledLif(Sampled, PyLifModelBitAcc):
    """Lava's LIF, which also writes what is asked for into shared arrays ``[rows, samples, n]``."""

    def start_sample(self):
        """Load the initial codes."""
        self.u[:] = self.proc_params["u_init"]
        self.v[:] = self.proc_params["v_init"]

    def run_row(self, row, sample):
        """Run Lava's step, then record: the spikes sent in it, and the states carried to the next."""
        super().run_row(row, sample)
        for observable, values in self.proc_params["recorded"].items():
            values[row, sample] = self.s_out_buff if observable == "spikes" else getattr(self, observable)


class SampledDense(Sampled, PyDenseModelBitAcc):
    """Lava's Dense."""

    def start_sample(self):
        """Drop what is under way."""
        self.a_buff[:] = 0


class SampledDelayDense(Sampled, PyDelayDenseModelBitAcc):
    """Lava's DelayDense, with its constant matrix of delayed weights built once instead of in every step."""

    def start_sample(self):
        """Drop what is under way."""
        self.a_buff[:] = 0

    def get_delay_wgts_mat(self, weights, delays, max_delay):
        """Return Lava's own matrix."""
        if "_delayed" not in self.__dict__:
            self._delayed = super().get_delay_wgts_mat(weights, delays, max_delay)
        return self._delayed


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


class Source(AbstractProcess):
    """Send an array uint8 ``[T, samples, n]`` row by row, then zeros to the end of each sample."""

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
    Dense: SampledDense,
    DelayDense: SampledDelayDense,
    Conv: SampledConv,
    Source: SourceModel,
    Delay: DelayModel,
}


class Net:
    """The processes of a program, wired up, and the shared arrays that they record into.

    Every process but Conv is flat, in the program's own order of neurons; channels, rows and columns appear between
    the ports of a Conv only.
    """

    def __init__(self, program, inputs, nodes, observables):
        """Build all processes; ``nodes`` get their ``observables`` recorded."""
        self.manifest = json.loads(str(program["manifest"][()]))
        if self.manifest["format"] != FORMAT or self.manifest["version"] not in VERSIONS:
            raise ValueError(f"the worker reads {FORMAT} {VERSIONS}, not {self.manifest['format']}")
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
            codes = {key: program[f"population/{entry['name']}/{key}"] for key in CODES}
            self._add_population(entry, codes, observables if entry["name"] in nodes else ())
        for index, entry in enumerate(self.manifest["projections"]):
            self._add_projection(entry, program[f"projection/{index}/weight"].astype(np.int32))

    def _add_population(self, entry, codes, observables):
        name, shape = entry["name"], tuple(entry["shape"])
        flat = (self.rows, self.n_samples, math.prod(shape))
        recorded = {observable: shared_array(flat, DTYPES[observable]) for observable in observables}
        for observable, values in recorded.items():
            self.recorded[f"{name}/{observable}"] = values.reshape(self.rows, self.n_samples, *shape)
        lif = LIF(
            shape=flat[2:],
            du=one_or_all(codes["du"]),
            dv=one_or_all(codes["dv"]),
            vth=one_or_all(codes["threshold_code"]),
            bias_mant=one_or_all(codes["bias_mantissa"]),
            bias_exp=entry["bias_exponent"],
            name=name,
            rows=self.rows,
            recorded=recorded,
            u_init=codes["u_init"],
            v_init=codes["v_init"],
        )
        self.shapes[name], self.senders[name], self.populations[name] = shape, lif.s_out, lif

    def _add_projection(self, entry, weight):
        name = f"{entry['source']} -> {entry['target']}"
        sender, receiver = self.senders[entry["source"]], self.populations[entry["target"]].a_in
        if entry["stride"] is not None:
            self._add_conv(entry, weight, name, sender, receiver)
            return
        options = {
            "weights": weight,
            "weight_exp": entry["exponent"],
            "num_weight_bits": entry["weight_bits"],
            "sign_mode": SignMode[entry["sign_mode"].upper()],
            "rows": self.rows,
            "name": name,
        }
        dense = Dense(**options) if entry["delay"] == 1 else DelayDense(delays=entry["delay"] - 1, **options)
        sender.connect(dense.s_in)
        dense.a_out.connect(receiver)

    def _add_conv(self, entry, weight, name, sender, receiver):
        """Add a Conv between ports of (rows, columns, channels), and a true one, so that kernels are turned round."""
        channels, *extent = self.shapes[entry["source"]]
        conv = Conv(
            weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)) << entry["exponent"],
            input_shape=(*extent, channels),
            stride=tuple(entry["stride"]),
            padding=tuple(entry["padding"]),
            dilation=tuple(entry["dilation"]),
            groups=entry["groups"],
            name=name,
        )
        conv.proc_params["rows"] = self.rows
        if entry["delay"] > 1:
            delay = Delay(size=sender.size, steps=entry["delay"] - 1, rows=self.rows, name=f"{name} (delay)")
            sender.connect(delay.s_in)
            sender = delay.s_out
        sender.reshape((channels, *extent)).transpose((1, 2, 0)).connect(conv.s_in)
        conv.a_out.transpose((2, 0, 1)).reshape((conv.a_out.size,)).connect(receiver)


def one_or_all(codes):
    """Return a plain integer where all neurons share it, which is what Lava documents, else the array."""
    return int(codes[0]) if (codes == codes[0]).all() else codes


def shared_array(shape, dtype):
    """Return an array of zeros that processes forked later write into."""
    dtype = np.dtype(dtype)
    size = math.prod(shape)
    return np.frombuffer(mmap.mmap(-1, max(size, 1) * dtype.itemsize), dtype, size).reshape(shape)


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


class Watchdog(threading.Thread):
    """End everything when the host has gone, or when a process of Lava has, which Lava would wait for in vain."""

    def __init__(self, folder):
        """Remember who the host is, and what it cannot tidy up once it has gone."""
        super().__init__(daemon=True)
        self.running = False
        self._folder = folder
        self._parent = os.getppid()

    def run(self):
        """Look twice a second, and at once when standard input, the host's pipe, closes."""
        while True:
            closed, _, _ = select.select([0], [], [], 0.5)
            if (closed and not os.read(0, 1)) or os.getppid() != self._parent:
                shutil.rmtree(self._folder, ignore_errors=True)
                end_group()
            if self.running:
                self._look_at_children()

    def _look_at_children(self):
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if dead is not None and self.running:
            by_signal = dead.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            how = f"signal {signal.Signals(dead.si_status).name}" if by_signal else f"status {dead.si_status}"
            sys.stderr.write(f"ChildProcessError: a process of the simulator ended early, with {how}\n")
            end_group()


def end_group():
    """End all processes of this session; SIGTERM spares the tracker that then frees their shared memory."""
    sys.stderr.flush()
    os.killpg(0, signal.SIGTERM)


def die_with_parent():
    """Ask Linux to kill this process when the one that forked it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def save(path, arrays, meta):
    """Write the output file in full or not at all."""
    temporary = f"{path}.part"
    with open(temporary, "wb") as stream:
        np.savez(stream, meta=np.array(json.dumps(meta)), **arrays)
    os.replace(temporary, path)


def main(request_path):
    """Serve one request."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def emit(**message):
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    with open(request_path) as stream:
        request = json.load(stream)
    watchdog = Watchdog(request["folder"])
    watchdog.start()
    if sys.platform == "linux":
        os.register_at_fork(after_in_child=die_with_parent)
    with np.load(request["program"]) as program, np.load(request["inputs"]) as inputs:
        net = Net(program, dict(inputs), request["nodes"], request["observables"])
    run(net, emit, watchdog)
    versions = {"lava-nc": version("lava-nc"), "numpy": np.__version__, "python": platform.python_version()}
    save(request["output"], net.recorded, {"versions": versions})


if __name__ == "__main__":
    main(sys.argv[1])
