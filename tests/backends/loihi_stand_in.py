"""A stand-in for Intel's proprietary lava-loihi, and for Lava beneath it: it notes every call and computes nothing.

Sinks and probes return made-up rows: neuron i of a process fires in step t where ``(t + i) % 3 == 2``, u is ``5000 +
10 * i + t``, and v, of the k-th LIF that was made, 128 at these steps and else ``1000 * k + 10 * i + t``.
"""

from __future__ import annotations

from pathlib import Path

RECORDER = """
import enum, json, os, sys
import numpy as np

counts, lines = {}, open(os.environ["STAND_IN_LOG"], "a")

def note(*line):
    lines.write(json.dumps(line, default=plain) + "\\n")
    lines.flush()

def plain(value):
    if isinstance(value, enum.Enum):
        return value.name
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value.id

class Noted:
    def __init__(self, *args, **options):
        name = type(self).__name__
        counts[name] = counts.get(name, 0) + 1
        self.id = f"{name} {counts[name]}"
        note("new", self.id, *args, options)

class Port:
    def __init__(self, owner, name):
        self.id = f"{owner.id}.{name}"

    def connect(self, other):
        note("connect", self.id, other.id)

class Process(Noted):
    ports = ()

    def __init__(self, **options):
        super().__init__(**options)
        self.options = options
        for name in self.ports:
            setattr(self, name, Port(self, name))

    def run(self, condition, run_cfg):
        note("run", self.id, condition, run_cfg)
        if os.environ.get("STAND_IN_FAILS"):
            raise RuntimeError("the board did not answer")

    def stop(self):
        note("stop", self.id, {"neurodeploy is loaded": "neurodeploy" in sys.modules})
        STOPPED.add(True)

STOPPED = set()

def spikes(n, rows):
    return np.array([[int((t + i) % 3 == 2) for t in range(rows)] for i in range(n)])
"""

MODULES = {
    "stand_in": RECORDER,
    "lava.magma.core.run_conditions": "from stand_in import Noted\nclass RunSteps(Noted): pass",
    "lava.magma.core.run_configs": "from stand_in import Noted\nclass Loihi2HwCfg(Noted): pass",
    "lava.proc.lif.process": """
from stand_in import Port, Process
class LIF(Process):
    ports = "a_in", "s_out", "u", "v"
    def __init__(self, **options):
        super().__init__(**options)
        self.u.size = self.v.size = options["shape"][0]
        self.u.offset, self.v.offset = 5000, 1000 * int(self.id.split()[1])
""",
    "lava.proc.dense.process": """
from stand_in import Process
class Dense(Process):
    ports = "s_in", "a_out"
class DelayDense(Dense): pass
""",
    "lava.proc.io.source": "from stand_in import Process\nclass RingBuffer(Process):\n    ports = 's_out',",
    "lava.proc.io.sink": """
from stand_in import Process, note, spikes
class RingBuffer(Process):
    ports = "a_in",
    @property
    def data(self):
        return self
    def get(self):
        note("get", self.id + ".data")
        return spikes(self.options["shape"][0], self.options["buffer"]).astype(float)
""",
    "lava.proc.embedded_io.spike": """
from stand_in import Process
class PyToNxAdapter(Process):
    ports = "inp", "out"
class NxToPyAdapter(PyToNxAdapter): pass
""",
    "lava.utils.weightutils": "import enum\nclass SignMode(enum.Enum):\n    MIXED, EXCITATORY, INHIBITORY = 1, 2, 3",
    "lava.utils.loihi": """
import enum
from stand_in import note
host = None
class ChipGeneration(enum.Enum):
    N3B3, N3C1 = "N3B3", "N3C1"
def use_slurm_host(partition=None, board=None, loihi_gen=ChipGeneration.N3B3):
    global host
    note("use_slurm_host", partition, board, loihi_gen)
    host = "SLURM"
def use_ethernet_host(host_address, host_binary_path="nxcore/bin/nx_driver_server", loihi_gen=ChipGeneration.N3B3):
    global host
    note("use_ethernet_host", host_address, host_binary_path, loihi_gen)
    host = "ETHERNET"
""",
    "lava.utils.loihi2_profiler": "",
    "lava.utils.loihi2_profiler_api": """
from stand_in import Noted, note
class Loihi2HWProfiler(Noted):
    execution_time, spiking_time = [1.5, 2.5], 2.0
    def execution_time_probe(self, **options):
        note("execution_time_probe", self.id, options)
    def energy_probe(self, **options):
        note("energy_probe", self.id, options)
        raise RuntimeError("this board cannot measure energy")
    def activity_probe(self):
        note("activity_probe", self.id)
""",
    "lava.utils.loihi2_state_probes": """
from stand_in import Noted, STOPPED, note, spikes
import numpy as np
class StateProbe(Noted):
    def __init__(self, var):
        super().__init__(var)
        self.var = var
    @property
    def time_series(self):
        assert STOPPED, "a probe is read after the run has been stopped"
        note("time_series", self.id)
        fired = spikes(self.var.size, 6)
        other = self.var.offset + 10 * np.arange(self.var.size)[:, None] + np.arange(6)
        return np.where(fired & self.var.id.endswith("v"), 128, other).reshape(-1)
""",
}


ON_REAL_LAVA = {
    "lava.utils.loihi": MODULES["lava.utils.loihi"].replace("from stand_in import note", "note = print"),
    "lava.utils.loihi2_profiler": "",
    "lava.utils.loihi2_profiler_api": """
class Loihi2HWProfiler:
    def __init__(self, config): pass
""",
    "lava.proc.embedded_io.spike": """
import numpy as np
from lava.magma.core import run_configs
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

run_configs.Loihi2HwCfg = lambda callback_fxs: run_configs.Loihi2SimCfg(select_tag="fixed_pt")

class PyToNxAdapter(AbstractProcess):
    def __init__(self, *, shape):
        super().__init__(shape=shape)
        self.inp, self.out = InPort(shape=shape), OutPort(shape=shape)

class NxToPyAdapter(PyToNxAdapter): pass

class Through(PyLoihiProcessModel):
    inp = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    def run_spk(self):
        self.out.send(self.inp.recv())

@implements(proc=PyToNxAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class In(Through): pass

@implements(proc=NxToPyAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class Out(Through): pass
""",
    "lava.utils.loihi2_state_probes": """
import os
from lava.magma.core.process.process import AbstractProcess
from lava.proc.monitor.process import Monitor

probes, stop = [], AbstractProcess.stop

def read_and_stop(process):
    while probes:
        probe = probes.pop()
        (found,) = probe.monitor.get_data().values()
        (rows,) = found.values()
        probe.time_series = rows.T.reshape(-1)
    stop(process)

AbstractProcess.stop = read_and_stop

class StateProbe:
    def __init__(self, var):
        self.monitor = Monitor()
        self.monitor.probe(var, int(os.environ["STAND_IN_ROWS"]))
        probes.append(self)
""",
}
"""What lava-loihi adds to an installed Lava: adapters that pass spikes through; the chip is Lava's simulator."""


def standing_in(python: Path, folder: Path) -> Path:
    """Write the stand-in and return an interpreter, ``python``, that finds it in the place of Lava."""
    write_modules(MODULES, folder)
    for package, version in {"lava_nc": "0.10.0", "lava_loihi": "0.7.0"}.items():
        metadata = folder / "stand_in_packages" / f"{package}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: {version}\n")
    lava = folder / "stand_in_packages" / "lava"
    for package in (lava, *(path for path in lava.rglob("*") if path.is_dir())):
        (package / "__init__.py").write_text("")  # whole packages hide those of an installed Lava
    return wrapper(python, folder)


def on_real_lava(python: Path, folder: Path) -> Path:
    """Return an interpreter that is Lava's ``python`` with a lava-loihi whose chip is Lava's simulator."""
    write_modules(ON_REAL_LAVA, folder)
    return wrapper(python, folder)


def write_modules(modules: dict[str, str], folder: Path) -> None:
    for name, text in modules.items():
        path = folder.joinpath("stand_in_packages", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def wrapper(python: Path, folder: Path) -> Path:
    # The first argument is always -I, which would hide the stand-in.
    return script(folder / "python", f'shift\nPYTHONPATH="{folder}/stand_in_packages" exec "{python}" "$@"')


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
