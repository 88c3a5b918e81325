"""Processes of the worker: shared memory, a common end, enough open files, and output that is whole or absent.

Loaded by ``worker.py``, in a Python that has numpy and Lava only; Linux, and macOS but for :func:`tie_children`.
"""

import ctypes
import json
import math
import mmap
import os
import resource
import signal
import sys
import threading
import time

import numpy as np


def prepare():
    """Make the system fit for many processes; return the watchdog, which ends all of them when one has died."""
    raise_file_limit()
    watchdog = Watchdog()
    watchdog.start()
    if sys.platform == "linux":
        tie_children()
    return watchdog


def shared_array(shape, dtype):
    """Return an array of zeros that processes forked later write into."""
    dtype = np.dtype(dtype)
    size = math.prod(shape)
    return np.frombuffer(mmap.mmap(-1, max(size, 1) * dtype.itemsize), dtype, size).reshape(shape)


class Watchdog(threading.Thread):
    """End everything when a process of Lava has died, which Lava would wait for in vain."""

    def __init__(self):
        """Wait for the simulation to begin."""
        super().__init__(daemon=True)
        self.running = False

    def run(self):
        """Look twice a second."""
        while True:
            time.sleep(0.5)
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


def tie_children():
    """Have Linux kill each process that is forked from here on when the one that forked it dies."""
    forking = {}

    def die_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
        if os.getppid() != forking["pid"]:  # it died before that
            os._exit(1)

    os.register_at_fork(before=lambda: forking.update(pid=os.getpid()), after_in_child=die_with_parent)


def raise_file_limit():
    """Allow more open files than is usual: Lava opens about a dozen for each process of a net."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if most == resource.RLIM_INFINITY else min(most, 65536)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def save(path, arrays, meta):
    """Write the output file in full or not at all.

    Args:
        path: the file.
        arrays: what it holds, by name.
        meta: what describes it, JSON-ready.
    """
    temporary = f"{path}.part"
    with open(temporary, "wb") as stream:
        np.savez(stream, meta=np.array(json.dumps(meta)), **arrays)
    os.replace(temporary, path)
