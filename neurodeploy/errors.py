"""Errors that users meet when something is refused: one message with what, where and what to do."""

from __future__ import annotations

import re

_COMMAND_OR_OPTION = re.compile(r"(`[^`]*`|\bneurodeploy [a-z]+ [^\n]*|pip install [^\n]*)|(?<![\w-])--([a-z][a-z-]*)")


class DeployError(Exception):
    """A request that is refused: bad input, a bad option, or a network that does not fit.

    Its sentences name options as the command line has them; as text it names the arguments of the Python functions,
    which have the same words: ``--time-limit`` is ``time_limit``.

    Args:
        what: what is wrong, with its value, as one sentence.
        where: file, node, key or option at fault.
        fix: what to do about it.

    ``stage`` is the stage of compiling that refused, or empty.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        if not all(isinstance(part, str) and part for part in (what, where, fix)):
            raise TypeError(f"a refusal says what, where and what to do, not {(what, where, fix)}")
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix
        self.stage = ""

    def __str__(self) -> str:
        return _COMMAND_OR_OPTION.sub(lambda m: m[1] or _argument(m[2]), self.on_command_line())

    def on_command_line(self) -> str:
        """Return the message with options as the command line has them."""
        stage = f"\n  stage: {self.stage}" if self.stage else ""
        return f"{self.what}\n  where: {self.where}{stage}\n  fix:   {self.fix}"


def _argument(option: str) -> str:
    """Return the argument of the Python functions that is an option of the command line."""
    return "data" if option == "input" else option.replace("-", "_")


class LackingError(DeployError):
    """A chip that lacks something which the network needs."""


class BackendError(DeployError):
    """A backend that is missing, or that died while it ran."""

    exit_code = 3


def known(names: object) -> str:
    """Return names as a readable list for a message, for instance ``loihi1, loihi2``."""
    return ", ".join(sorted(str(name) for name in names)) or "none"  # type: ignore[attr-defined]


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 spike``, ``1,024 spikes``.

    Args:
        n: the number. noun: in the singular. plural: where it is not the noun with an s.
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
