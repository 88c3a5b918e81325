"""Build the C kernel that the benchmark compares the emulator with, with the system's compiler, and call it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).with_name("bench_kernel.c")
TILE = 128


class Kernel:
    """Sums the rows of weights of the active inputs of each step.

    name: which instructions it was built for. compiler: the command.
    """

    def __init__(self, library: ctypes.CDLL, compiler: str) -> None:
        library.kernel_name.restype = ctypes.c_char_p
        library.accumulate.restype = None
        library.accumulate.argtypes = [
            ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
            ctypes.c_int64,
        ]  # fmt: skip
        library.accumulate_rows.restype = None
        library.accumulate_rows.argtypes = [*library.accumulate.argtypes, ctypes.c_void_p]
        self._library, self.compiler = library, compiler
        self.name: str = library.kernel_name().decode()

    def accumulate(
        self,
        weight: NDArray[np.int8],
        active: NDArray[np.int32],
        first: NDArray[np.int64],
        total: NDArray[np.int32],
        *,
        tiled: bool = True,
    ) -> None:
        """Sum rows.

        Args:
            weight: (n_in, n_out), n_out a multiple of 128.
            active: inputs, those of step t at ``first[t]`` to ``first[t + 1]``. first: (T + 1,).
            total: written; (T, n_out), or (n_out,) to use the same again in each step, which is faster.
            tiled: keep the sums of 128 outputs at a time in registers; else add row by row to sums in memory.
        """
        n_out = weight.shape[1]
        if n_out % TILE:
            raise ValueError(f"the kernel takes rows of a multiple of {TILE} weights, got {n_out}")
        stride = n_out if total.ndim == 2 else 0
        places = (weight.ctypes.data, n_out, active.ctypes.data, first.ctypes.data)
        rest = (len(first) - 1, total.ctypes.data, stride)
        if tiled:
            self._library.accumulate(*places, *rest)
        else:
            scratch = np.zeros(n_out, np.int16)
            self._library.accumulate_rows(*places, *rest, scratch.ctypes.data)


def build_kernel() -> Kernel | str:
    """Return the kernel, or why there is none."""
    if (compiler := shutil.which(os.environ.get("CC", "cc"))) is None:
        return "no C compiler was found (cc, or what CC names)"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        for native in (["-march=native"], ["-mcpu=native"], []):
            command = [compiler, "-O3", *native, "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            if built.returncode == 0:
                return Kernel(ctypes.CDLL(str(library)), " ".join(["cc", "-O3", *native]))
    return f"the C compiler failed: {built.stderr.strip().splitlines()[-1:]}"
