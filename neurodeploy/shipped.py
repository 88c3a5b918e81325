"""Find the files that ship with neurodeploy: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from neurodeploy.errors import DeployError

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(name: str) -> Path:
    """Return the folder ``targets`` or ``models``.

    Raises:
        DeployError: neither the wheel nor a checkout has it.
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise DeployError(
        f"folder {name!r} is missing from this installation", where=str(_PACKAGE), fix="Install neurodeploy again."
    )
