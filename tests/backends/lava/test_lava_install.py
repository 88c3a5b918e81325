from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path

import pytest

from neurodeploy.backends.lava.backend import Lava
from neurodeploy.backends.lava.install import (
    ENV_PYTHON,
    REQUIREMENTS,
    find_python310,
    install_lava,
    lava_python,
    venv_path,
)
from neurodeploy.errors import BackendError, DeployError

MAKES_VENV = """
case "$*" in
  *"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"pip install"*) echo "$@" >> "$LOG"; {pip} ;;
  *) echo 3.10 ;;
esac
"""


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Lava, and with nothing but the system's tools and ``tmp_path/bin`` on PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "mkdir", "cp"):
        found = next(p for folder in ("/bin", "/usr/bin") if (p := Path(folder, tool)).exists())
        (tools / tool).symlink_to(found)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{tools}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.delenv(ENV_PYTHON, raising=False)
    return tmp_path


def test_nothing_installed_says_how_to_get_it(bare: Path) -> None:
    assert lava_python() is None
    assert Lava().missing() == "Lava is not installed. Run `neurodeploy install lava`."


@pytest.mark.parametrize(
    ("named", "problem"),
    [("/nowhere/python", "No such file or directory"), (sys.executable, "ModuleNotFoundError|PackageNotFoundError")],
)
def test_named_python_that_cannot_be_used_is_refused(
    named: str, problem: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_PYTHON, named)
    with pytest.raises(BackendError, match=f"cannot be used: .*({problem})"):
        lava_python()
    assert ENV_PYTHON in str(Lava().missing())


def test_named_python_with_lava_is_taken(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = script(bare / "mine" / "python", "echo 0.10.0")
    monkeypatch.setenv(ENV_PYTHON, str(named))
    assert lava_python() == named


def test_missing_is_quick_once_asked(lava: Lava) -> None:
    start = time.perf_counter()
    for _ in range(20):
        lava.missing()
    assert time.perf_counter() - start < 0.1


def test_shim_that_fails_is_passed_over_for_pyenv(bare: Path) -> None:
    script(bare / "bin" / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    script(bare / ".pyenv/versions/3.10.9/bin/python3.10", "echo 3.10")
    newest = script(bare / ".pyenv/versions/3.10.13/bin/python3.10", "echo 3.10")
    assert find_python310() == newest


def test_uv_is_asked_last_and_told_to_ignore_the_path(bare: Path) -> None:
    own = script(bare / "uv-python", "echo 3.10")
    script(bare / "bin" / "python3.10", "exit 127")
    script(bare / "bin" / "uv", f'test "$UV_PYTHON_PREFERENCE $2" = "only-managed find" && echo {own}')
    assert find_python310() == own


def test_uv_fetches_a_python_where_it_has_none(bare: Path) -> None:
    own = bare / "uv-python"
    makes = f"printf '#!/bin/sh\\necho 3.10\\n' > {own}; /bin/chmod +x {own}"
    script(bare / "bin" / "uv", f"case $2 in install) {makes};; find) test -f {own} && echo {own};; esac")
    assert find_python310() == own


def test_no_python_is_refused_with_what_was_tried(bare: Path) -> None:
    script(bare / "bin" / "python3.10", "echo 'pyenv: not found' >&2; exit 127")
    script(bare / ".pyenv/versions/3.10.2/bin/python3.10", "echo \"No module named 'ensurepip'\" >&2; exit 1")
    script(bare / "bin" / "uv", "echo 'error: no download' >&2; exit 2")
    with pytest.raises(DeployError) as caught:
        find_python310()
    for reason in ("pyenv: not found", "No module named 'ensurepip'", f"{bare}/bin/uv says: error: no download"):
        assert reason in caught.value.what


def test_installation_is_pinned_and_found(bare: Path) -> None:
    script(bare / "bin" / "python3.10", MAKES_VENV.format(pip=":"))
    told: list[str] = []
    python = install_lava(told.append)
    assert python == lava_python() == venv_path() / "bin" / "python"
    assert venv_path().parent == bare / "cache" / "neurodeploy"
    assert (bare / "log").read_text().split()[-len(REQUIREMENTS) :] == list(REQUIREMENTS)
    assert len(told) == 3


def test_second_installation_does_nothing(bare: Path) -> None:
    script(bare / "bin" / "python3.10", MAKES_VENV.format(pip=":"))
    install_lava()
    install_lava()
    assert len((bare / "log").read_text().splitlines()) == 1


def test_failed_installation_is_named_and_not_taken_for_whole(bare: Path) -> None:
    script(bare / "bin" / "python3.10", MAKES_VENV.format(pip="echo 'ERROR: no network' >&2; exit 1"))
    with pytest.raises(BackendError, match="Lava's packages cannot be installed: ERROR: no network"):
        install_lava()
    assert lava_python() is None


def test_half_made_installation_is_made_anew(bare: Path) -> None:
    script(bare / "bin" / "python3.10", MAKES_VENV.format(pip=":"))
    left_over = venv_path() / "lib" / "half"
    left_over.mkdir(parents=True)
    install_lava()
    assert not left_over.exists()
    assert json.loads((venv_path() / "neurodeploy.json").read_text())["requirements"] == list(REQUIREMENTS)
