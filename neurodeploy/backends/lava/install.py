"""Find or install Lava's own Python environment: Lava needs Python 3.10 and numpy 1, so it is kept separate."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from neurodeploy.errors import BackendError, DeployError
from neurodeploy.files import to_json, write_text

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

INSTALL = "Run `neurodeploy install lava`"

_MARKER = "neurodeploy.json"
_PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_FIND_LAVA = "from importlib.metadata import version; import lava.magma; print(version('lava-nc'))"
_IMPORT_LAVA = "from lava.proc.conv.process import Conv; from lava.magma.core.run_configs import Loihi2SimCfg"


def lava_python() -> Path | None:
    """Return the interpreter that runs Lava, or None if Lava is not installed.

    Raises:
        BackendError: the interpreter that ``NEURODEPLOY_LAVA_PYTHON`` names cannot be used.
    """
    if named := os.environ.get(ENV_PYTHON):
        path = shutil.which(os.path.expanduser(named)) or named
        if (problem := _problem(path, _FIND_LAVA)) is not None:
            raise BackendError(
                f"the Python named for Lava cannot be used: {problem}",
                where=f"{ENV_PYTHON}={named}",
                fix="Name a Python 3.10 in which `import lava` works, or unset it and run `neurodeploy install lava`.",
            )
        return Path(path)
    python = _python(venv_path())
    return python if (venv_path() / _MARKER).is_file() and os.access(python, os.X_OK) else None


def venv_path() -> Path:
    """Return where ``install_lava`` puts its virtual environment; another set of requirements is another place."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "neurodeploy" / f"lava-{hashlib.sha256(' '.join(REQUIREMENTS).encode()).hexdigest()[:12]}"


def install_lava(progress: Callable[[str], None] | None = None) -> Path:
    """Make a virtual environment with Lava in it, unless there is a whole one, and return its interpreter.

    Args:
        progress: told of each stage in a sentence.

    Raises:
        DeployError: there is no Python 3.10.
        BackendError: the environment cannot be made, or Lava does not work in it.
    """
    say = progress or (lambda _: None)
    venv = venv_path()
    with _lock(venv.with_name(f"{venv.name}.lock")):
        if (venv / _MARKER).is_file():
            if _problem(str(_python(venv)), _IMPORT_LAVA) is None:
                say(f"Lava is installed already, in {venv}.")
                return _python(venv)
            say("The installed Lava no longer works; making it anew.")
        shutil.rmtree(venv, ignore_errors=True)
        base = find_python310()
        say(f"Making a virtual environment with {base}.")
        _run([str(base), "-I", "-m", "venv", str(venv)], "the virtual environment cannot be made")
        say(f"Installing {len(REQUIREMENTS)} packages; some 300 MB.")
        pip = [str(_python(venv)), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *REQUIREMENTS], "Lava's packages cannot be installed")
        say("Checking that Lava starts.")
        _run([str(_python(venv)), "-I", "-c", _IMPORT_LAVA], "Lava does not start after its installation")
        write_text(venv / _MARKER, to_json({"python": str(base), "requirements": REQUIREMENTS}))
    return _python(venv)


def find_python310(what: str = "Lava") -> Path:
    """Return a Python 3.10 that has been seen to run; ``uv``, where it is on PATH, may fetch one.

    Args:
        what: needs it, for the message.

    Raises:
        DeployError: none of those that were found runs; it says why for each.
    """
    problems = {}
    for candidate in _candidates():
        answer = _answer([candidate, "-I", "-c", _PROBE])
        if answer == "3.10":
            return Path(candidate)
        problems[candidate] = answer
    if uv := shutil.which("uv"):
        answer = _python_of_uv(uv)
        if Path(answer).is_file() and _answer([answer, "-I", "-c", _PROBE]) == "3.10":
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
    if Path(found := _answer(find, environment)).is_file():
        return found
    installed = _answer([uv, "python", "install", "3.10"], environment, timeout=600)
    return found if Path(found := _answer(find, environment)).is_file() else installed or found


def _patch_level(version: Path) -> int:
    patch = version.name.split(".")[2]
    return int(patch) if patch.isdigit() else -1


def _python(venv: Path) -> Path:
    return venv / "bin" / "python"


@functools.cache
def _problem(python: str, code: str) -> str | None:
    """Return why ``python`` cannot run ``code``, or None if it can; asked once in a process."""
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None if done.returncode == 0 else _complaint(done.stderr)


def _answer(command: list[str], environment: dict[str, str] | None = None, timeout: float = 60) -> str:
    """Return what a command prints, or its complaint."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stdout.strip() if done.returncode == 0 else _complaint(done.stderr)


def _run(command: list[str], failure: str) -> None:
    """Run one stage of the installation.

    Raises:
        BackendError: it failed; its last complaint is quoted.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise BackendError(f"{failure}: {error}", where=command[0], fix="Check that this program runs.") from error
    if done.returncode:
        raise BackendError(
            f"{failure}: {_complaint(done.stderr or done.stdout)}",
            where=" ".join(command),
            fix="Run that command by hand to see more; downloads need a network, and pip's own settings are honoured.",
        )


def _complaint(text: str) -> str:
    """Return the line of a program's standard error that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it failed without a message"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return errors[-1] if errors else lines[-1 if "Traceback" in text else 0]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one installation run at a time."""
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BackendError(
            f"the cache cannot be written to: {error.strerror}",
            where=str(path.parent),
            fix="Set XDG_CACHE_HOME to a folder that can be written to.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
