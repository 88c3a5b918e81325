"""List what this machine can run, and what each missing thing needs."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from neurodeploy import backends
from neurodeploy.version import __version__

PACKAGES = ("numpy", "numba", "h5py", "nir", "torch", "snntorch", "plotly")


def examine() -> dict[str, Any]:
    """Return what is installed and what is missing, JSON-ready."""
    return {
        "neurodeploy": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cuda": _cuda(),
        "backends": backend_states(),
    }


def backend_states() -> dict[str, str | None]:
    """Return, for each backend, None if it can run here, else what it needs."""
    return {name: backends.load(name).missing() for name in backends.names()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cuda() -> str | None:
    """Return the name of the first CUDA device, or None."""
    if find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
