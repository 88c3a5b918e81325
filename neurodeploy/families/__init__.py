"""Chip families: the arithmetic of their neurons, and how a float network becomes their integers.

This table alone knows all of them; each is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neurodeploy.errors import DeployError, known

if TYPE_CHECKING:
    from neurodeploy.families.base import Family

_HOMES = {"loihi": "neurodeploy.families.loihi.family", "xylo": "neurodeploy.families.xylo.family"}


def family_names() -> tuple[str, ...]:
    """Return the names of all families."""
    return tuple(_HOMES)


def find_family(name: str) -> Family:
    """Return the family called ``name``.

    Raises:
        DeployError: there is none of that name.
    """
    if name not in _HOMES:
        raise DeployError(
            f"no chip family is called {name!r}", where="family", fix=f"Choose one of {known(family_names())}."
        )
    found: Family = import_module(_HOMES[name]).FAMILY
    return found
