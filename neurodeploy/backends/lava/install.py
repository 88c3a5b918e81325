"""Find or install Lava's own Python environment: Lava needs Python 3.10 and numpy 1, so it is kept separate."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from neurodeploy.backends.simulator import Simulator, ask
from neurodeploy.errors import DeployError

ENV_PYTHON = "NEURODEPLOY_LAVA_PYTHON"
"""Environment variable that names another interpreter, such as one with Intel's ``lava-loihi``."""

REQUIREMENTS = (
    "asteval==0.9.33",
    "cloudpickle==3.1.2",
    "joblib==1.6.0",
    "lava-nc==0.10.0",
    "networkx==2.8.7",
    "numpy==1.26.4",
    "scikit-learn==1.7.2",
    "scipy==1.15.3",
    "threadpoolctl==3.8.0",
)
"""All that is installed; the last release of Lava and what it worked with when it was measured."""

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": "."}
"""Lava runs a process for each part of a net, which is parallel enough. Its sockets go into the worker's own folder,
and by a relative path, because the path of a socket may have some hundred bytes only."""

_PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"


def find_python310(what: str = "Lava") -> Path:
    """Return a Python 3.10 that has been seen to run; ``uv``, where it is on PATH, may fetch one.

    Args:
        what: needs it, for the message.

    Raises:
        DeployError: none of those that were found runs; it says why for each.
    """
    problems = {}
    for candidate in _candidates():
        answer = ask([candidate, "-I", "-c", _PROBE])
        if answer == "3.10":
            return Path(candidate)
        problems[candidate] = answer
    if uv := shutil.which("uv"):
        answer = _python_of_uv(uv)
        if Path(answer).is_file() and ask([answer, "-I", "-c", _PROBE]) == "3.10":
            return Path(answer)
        problems[uv] = answer
    raise DeployError(
        f"{what} needs a Python 3.10, but none was found that works"
        + "".join(f"; {candidate} says: {problem}" for candidate, problem in problems.items()),
        where="PATH, pyenv and uv",
        fix="Install Python 3.10 with its venv module (`pyenv install 3.10`, `uv python install 3.10`, or a package of "
        f"your system), or name a Python that has Lava in {ENV_PYTHON}.",
    )


def _candidates() -> Iterator[str]:
    """Yield what may be a Python 3.10: those on PATH, then those of pyenv, newest first."""
    for folder in os.get_exec_path():
        if found := shutil.which("python3.10", path=folder):
            yield found
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in sorted(versions.glob("3.10.*"), key=_patch_level, reverse=True):
        yield str(version / "bin" / "python3.10")


def _python_of_uv(uv: str) -> str:
    """Return a Python 3.10 that uv has or fetches, or why it has none."""
    # Left to itself uv asks each python3.10 on PATH and gives up at one that fails, as a pyenv shim does.
    environment = {**os.environ, "UV_PYTHON_PREFERENCE": "only-managed"}
    find = [uv, "python", "find", "3.10"]
    if Path(found := ask(find, environment)).is_file():
        return found
    installed = ask([uv, "python", "install", "3.10"], environment, timeout=600)
    return found if Path(found := ask(find, environment)).is_file() else installed or found


def _patch_level(version: Path) -> int:
    patch = version.name.split(".")[2]
    return int(patch) if patch.isdigit() else -1


SIMULATOR = Simulator(
    name="Lava",
    command="lava",
    requirements=REQUIREMENTS,
    download="some 300 MB",
    variable=ENV_PYTHON,
    requires="lava-nc 0.10",
    its_python="a Python 3.10 in which `import lava` works",
    finds="from importlib.metadata import version; import lava.magma; print(version('lava-nc'))",
    checks="from lava.proc.conv.process import Conv; from lava.magma.core.run_configs import Loihi2SimCfg",
    find_base=find_python310,
    environment=ENVIRONMENT,
    lighten="give it fewer samples or steps (--lava-samples in compare)",
    report="Report it with the program if the codes are in range; --backend emulator runs the same program.",
)

INSTALL = SIMULATOR.how_to_install


def lava_python() -> Path | None:
    """Return the interpreter that runs Lava, or None if Lava is not installed.

    Raises:
        BackendError: the interpreter that ``NEURODEPLOY_LAVA_PYTHON`` names cannot be used.
    """
    return SIMULATOR.python()


def venv_path() -> Path:
    """Return where ``install_lava`` puts its virtual environment; another set of requirements is another place."""
    return SIMULATOR.venv_path()


def install_lava(progress: Callable[[str], None] | None = None) -> Path:
    """Make a virtual environment with Lava in it, unless there is a whole one, and return its interpreter.

    Args:
        progress: told of each stage in a sentence.

    Raises:
        DeployError: there is no Python 3.10.
        BackendError: the environment cannot be made, or Lava does not work in it.
    """
    return SIMULATOR.install(progress)
