"""Find or install a vendor's simulator in a Python environment of its own."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurodeploy.errors import BackendError, counted
from neurodeploy.files import to_json, write_text

_MARKER = "neurodeploy.json"


@dataclass(frozen=True, eq=False, slots=True)
class Simulator:
    """A vendor's simulator, which the user installs and which is called in a Python of its own.

    name: in messages. command: after ``neurodeploy install``.
    requirements: all that is installed, pinned; ``download`` says how much that is.
    variable: the environment variable that names another interpreter with it.
    requires: what such an interpreter has to have, for messages; ``its_python`` is of which version it is.
    finds: Python code that prints the simulator's version, or fails. checks: code that fails where it does not start.
    find_base: returns the interpreter that the environment is made with, or raises DeployError.
    environment: what is set for its worker.
    lighten: what makes a run shorter, report: what to do where it died; both for messages.
    """

    name: str
    command: str
    requirements: tuple[str, ...]
    download: str
    variable: str
    requires: str
    its_python: str
    finds: str
    checks: str
    find_base: Callable[[], Path]
    environment: Mapping[str, str]
    lighten: str
    report: str

    @property
    def how_to_install(self) -> str:
        """The sentence that says how to get it, without its full stop."""
        return f"Run `neurodeploy install {self.command}`"

    def python(self) -> Path | None:
        """Return the interpreter that runs it, or None if it is not installed.

        Raises:
            BackendError: the interpreter that the user has named cannot be used.
        """
        if named := os.environ.get(self.variable):
            path = shutil.which(os.path.expanduser(named)) or named
            if (problem := _problem(path, self.finds)) is not None:
                raise BackendError(
                    f"the Python named for {self.name} cannot be used: {problem}",
                    where=f"{self.variable}={named}",
                    fix=f"Name {self.its_python}, or unset it and run `neurodeploy install {self.command}`.",
                )
            return Path(path)
        python = _python(self.venv_path())
        return python if (self.venv_path() / _MARKER).is_file() and os.access(python, os.X_OK) else None

    def missing(self) -> str | None:
        """Return None if it can run here, else what is missing and how to get it."""
        if os.name != "posix":
            return f"{self.name} needs Linux or macOS."
        try:
            return None if self.python() else f"{self.name} is not installed. {self.how_to_install}."
        except BackendError as error:
            return f"{error.what} ({error.where}). {error.fix}"

    def version(self) -> str:
        """Return which version an interpreter has that is installed, or its complaint."""
        python = self.python()
        return "" if python is None else _version(str(python), self.finds)

    def venv_path(self) -> Path:
        """Return where its virtual environment is made; another set of requirements is another place."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        digest = hashlib.sha256(" ".join(self.requirements).encode()).hexdigest()[:12]
        return cache / "neurodeploy" / f"{self.command}-{digest}"

    def install(self, progress: Callable[[str], None] | None = None) -> Path:
        """Make a virtual environment with it, unless there is a whole one, and return its interpreter.

        Args:
            progress: told of each stage in a sentence.

        Raises:
            DeployError: there is no interpreter to make it with, or something that the installation needs is missing.
            BackendError: the environment cannot be made, or the simulator does not work in it.
        """
        say = progress or (lambda _: None)
        venv = self.venv_path()
        with _lock(venv.with_name(f"{venv.name}.lock")):
            if (venv / _MARKER).is_file():
                if _problem(str(_python(venv)), self.checks) is None:
                    say(f"{self.name} is installed already, in {venv}.")
                    return _python(venv)
                say(f"The installed {self.name} no longer works; making it anew.")
            shutil.rmtree(venv, ignore_errors=True)
            base = self.find_base()
            say(f"Making a virtual environment with {base}.")
            _run([str(base), "-I", "-m", "venv", str(venv)], "the virtual environment cannot be made")
            say(f"Installing {counted(len(self.requirements), 'package')}; {self.download}.")
            pip = [str(_python(venv)), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, *self.requirements], f"{self.name}'s packages cannot be installed")
            say(f"Checking that {self.name} starts.")
            _run([str(_python(venv)), "-I", "-c", self.checks], f"{self.name} does not start after its installation")
            write_text(venv / _MARKER, to_json({"python": str(base), "requirements": self.requirements}))
        return _python(venv)


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


@functools.cache
def _version(python: str, finds: str) -> str:
    return ask([python, "-I", "-c", finds])


def ask(command: list[str], environment: dict[str, str] | None = None, timeout: float = 60) -> str:
    """Return what a command prints, or its complaint.

    Args:
        command: the program and its arguments.
        environment: variables that it sees, or None for this process's own.
        timeout: seconds after which it is ended.
    """
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
