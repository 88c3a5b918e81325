"""Backends by name; the libraries of each are imported only when it is asked for."""

from __future__ import annotations

from importlib.metadata import entry_points

from neurodeploy.backends.base import Backend
from neurodeploy.errors import DeployError, known

NAMES = ("reference", "emulator", "lava", "loihi")
"""The backends that come with neurodeploy; other packages add theirs in the entry-point group of ``GROUP``.

``loihi`` is not run on hardware.
"""

GROUP = "neurodeploy.backends"


def names() -> tuple[str, ...]:
    """Return the names of all backends, those of other packages last."""
    return NAMES + tuple(sorted(entry.name for entry in entry_points(group=GROUP)))


def load(name: str) -> Backend:
    """Return the backend called ``name``.

    Raises:
        DeployError: there is none of that name.
    """
    match name:
        case "reference":
            from neurodeploy.backends.reference.backend import Reference

            return Reference()
        case "emulator":
            from neurodeploy.backends.emulator.backend import Emulator

            return Emulator()
        case "lava":
            from neurodeploy.backends.lava.backend import Lava

            return Lava()
        case "loihi":
            from neurodeploy.backends.loihi import Loihi

            return Loihi()
    for entry in entry_points(group=GROUP, name=name):
        backend: Backend = entry.load()()
        return backend
    raise DeployError(f"no backend is called {name!r}", where="--backend", fix=f"Choose one of {known(names())}.")
