"""Find or install XyloSim in an environment of its own: it is compiled there, and its licence is not stated."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from neurodeploy.backends.simulator import Simulator
from neurodeploy.errors import DeployError

ENV_PYTHON = "NEURODEPLOY_XYLO_PYTHON"
"""Environment variable that names another interpreter with ``xylosim``."""

COMPILERS = ("g++", "c++", "clang++")


def find_compiler() -> str | None:
    """Return the C++ compiler that Python's build tools would find, or None."""
    named = os.environ.get("CXX", "").split()
    return next((found for name in (*named[:1], *COMPILERS) if (found := shutil.which(name))), None)


def find_base() -> Path:
    """Return the interpreter that the environment is made with: the one that runs now.

    Raises:
        DeployError: there is no C++ compiler, so that XyloSim could not be installed.
    """
    if find_compiler() is None:
        raise DeployError(
            "XyloSim is compiled when it is installed, which needs a C++ compiler, but none was found",
            where=f"PATH ({', '.join(COMPILERS)})",
            fix="Install one with Python's headers (Debian: `apt-get install g++ python3-dev`), or name it in CXX.",
        )
    return Path(sys.executable)


SIMULATOR = Simulator(
    name="XyloSim",
    command="xylo",
    requirements=("pybind11==3.1.0", "xylosim==0.1.3"),
    download="some 300 kB, which a C++ compiler then builds",
    variable=ENV_PYTHON,
    requires="xylosim 0.1.3",
    its_python="a Python in which `import xylosim.v2` works",
    finds="from importlib.metadata import version; import xylosim.v2; print(version('xylosim'))",
    checks="import xylosim.v1, xylosim.v2",
    find_base=find_base,
    environment={},
    lighten="give it fewer samples or steps",
    report="Report it with the configuration; neurodeploy.families.xylo.kernel runs the same one.",
)


def install_xylo(progress: Callable[[str], None] | None = None) -> Path:
    """Make a virtual environment with XyloSim in it, unless there is a whole one, and return its interpreter.

    Args:
        progress: told of each stage in a sentence.

    Raises:
        DeployError: there is no C++ compiler.
        BackendError: the environment cannot be made, or XyloSim does not work in it.
    """
    return SIMULATOR.install(progress)
