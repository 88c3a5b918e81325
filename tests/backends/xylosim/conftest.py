"""The real XyloSim, installed by the first test that needs it."""

from __future__ import annotations

import pytest

from neurodeploy.backends.xylosim.install import SIMULATOR, find_compiler, install_xylo
from neurodeploy.errors import BackendError


@pytest.fixture(scope="session")
def xylosim() -> None:
    """Install XyloSim where it is not there, or skip with the reason why it cannot be."""
    if SIMULATOR.missing() is None:
        return
    if find_compiler() is None:
        pytest.skip("XyloSim is not installed, and there is no C++ compiler to build it")
    try:
        install_xylo()
    except BackendError as error:
        pytest.skip(f"XyloSim cannot be installed here: {error.what}")
