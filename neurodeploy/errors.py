"""What users meet when something is refused: one message with what, where and what to do."""

from __future__ import annotations


class DeployError(Exception):
    """A request that is refused: bad input, a bad option, or a network that does not fit.

    Args:
        what: what is wrong, with its value, as one sentence.
        where: file, node, key or option at fault.
        fix: what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  fix:   {self.fix}"


class LackingError(DeployError):
    """A chip that lacks something which the network needs."""


class BackendError(DeployError):
    """A backend that is missing, or that died while it ran."""

    exit_code = 3


def known(names: object) -> str:
    """Return names as a readable list for a message, for instance ``loihi1, loihi2``."""
    return ", ".join(sorted(str(name) for name in names)) or "none"  # type: ignore[attr-defined]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
