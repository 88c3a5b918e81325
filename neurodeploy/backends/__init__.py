"""Backends by name; the libraries of each are imported only when it is asked for."""

from __future__ import annotations

from neurodeploy.backends import plugins
from neurodeploy.backends.base import Backend
from neurodeploy.errors import DeployError, known

REFERENCE, EMULATOR = "reference", "emulator"
"""The two that the equalities speak of: what computes as the model was trained, and what computes as the chip."""

NAMES = (REFERENCE, EMULATOR, "lava", "loihi", "xylosim")
"""The backends that come with neurodeploy; other packages add theirs, see :mod:`neurodeploy.backends.plugins`.

``loihi`` is not run on hardware.
"""


def names() -> tuple[str, ...]:
    """Return the names of all backends, those of other packages last."""
    return NAMES + tuple(name for name in plugins.names() if name not in NAMES)


def load(name: str) -> Backend:
    """Return the backend called ``name``; one of another package that cannot be imported says so as ``missing``.

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
        case "xylosim":
            from neurodeploy.backends.xylosim.backend import XyloSim

            return XyloSim()
    if name in plugins.names():
        return plugins.PlugIn(name)
    raise DeployError(f"no backend is called {name!r}", where="--backend", fix=f"Choose one of {known(names())}.")


def simulators(family: str | None = None) -> tuple[str, ...]:
    """Return the vendors' simulators, which the emulator must equal bit for bit: of a chip family, or of all."""
    found = {name: one for name in names() if (one := load(name)).exact_in is not None}
    return tuple(name for name, one in found.items() if family is None or runs(one, family))


def runs(backend: Backend, family: str) -> bool:
    """Tell whether a backend runs programs for a chip family, or the model itself."""
    return backend.families is None or family in backend.families
