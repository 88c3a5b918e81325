from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.xylosim import simulate
from neurodeploy.backends.xylosim.install import ENV_PYTHON, SIMULATOR, install_xylo
from neurodeploy.errors import BackendError, DeployError
from tests.families.xylo.configurations import draw


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without XyloSim and without a C++ compiler."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(ENV_PYTHON, raising=False)
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def test_nothing_installed_says_how_to_get_it(bare: Path) -> None:
    assert SIMULATOR.missing() == "XyloSim is not installed. Run `neurodeploy install xylo`."
    codes = draw(0).codes
    with pytest.raises(BackendError, match=r"XyloSim is not installed(?s:.*)neurodeploy install xylo"):
        simulate.run(codes, np.zeros((1, 1, codes.n_in), np.uint8))


def test_installation_without_a_compiler_is_refused(bare: Path) -> None:
    with pytest.raises(DeployError, match=r"needs a C\+\+ compiler, but none was found(?s:.*)CXX"):
        install_xylo()


def test_named_python_without_xylosim_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PYTHON, sys.executable)
    with pytest.raises(BackendError, match=r"the Python named for XyloSim cannot be used: .*NotFoundError"):
        SIMULATOR.python()
    assert ENV_PYTHON in str(SIMULATOR.missing())


@pytest.mark.usefixtures("xylosim")
@pytest.mark.timeout(900)
def test_second_installation_does_nothing() -> None:
    install_xylo()
    said: list[str] = []
    assert install_xylo(said.append) == SIMULATOR.venv_path() / "bin" / "python"
    assert said == [f"XyloSim is installed already, in {SIMULATOR.venv_path()}."]
