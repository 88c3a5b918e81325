"""The linter's findings, each with a stable code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neurodeploy.errors import DeployError

SEVERITIES = ("note", "warning", "error")

CODES = {
    "batch-dimension": "warning",
    "dead": "warning",
    "duplicate-edge": "warning",
    "no-v-reset": "note",
    "not-run": "note",
    "old-version": "note",
    "r-unscaled": "warning",
    "refused": "error",
    "saturated": "warning",
    "scalar": "warning",
    "shape": "error",
    "silent-input": "warning",
    "tau-infinite": "warning",
    "tau-negative": "warning",
    "tau-range": "warning",
    "tau-units": "warning",
    "threshold": "warning",
    "unreachable": "error",
    "unread": "note",
    "w-in-unscaled": "warning",
}
"""The codes, and how grave each is: an ``error`` is refused by every verb, a ``warning`` is likely to be wrong or to be
read differently by others, a ``note`` is good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the linter found.

    code: of :data:`CODES`. severity: of :data:`SEVERITIES`. node: at fault, or None for the file. what: what is wrong,
    as one sentence. value: the one at fault. fix: what to do about it.
    """

    code: str
    severity: str
    node: str | None
    what: str
    value: str
    fix: str

    @property
    def is_pressing(self) -> bool:
        """Whether it is a warning or worse."""
        return self.severity != "note"


def finding(code: str, node: str | None, what: str, value: object, fix: str, severity: str | None = None) -> Finding:
    """Return a finding of the severity that its code has, unless another is said.

    Args:
        code: of :data:`CODES`. node: at fault, or None for the file. what: what is wrong. value: the one at fault. fix:
        what to do about it. severity: where it is not the code's.
    """
    return Finding(code, severity or CODES[code], node, what, str(value), fix)


def refuse_errors(findings: Iterable[Finding], where: str) -> None:
    """Refuse a model with a finding that is an error.

    Raises:
        DeployError: the first such finding, with how many there are.
    """
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        first, more = errors[0], f" (and {len(errors) - 1} more errors: neurodeploy inspect)" if len(errors) > 1 else ""
        place = where if first.node is None else f"{where}, node {first.node!r}"
        raise DeployError(f"{first.what}: {first.value}{more}", where=place, fix=first.fix)


def warning_lines(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each kind of warning, with all nodes that have it."""
    of_code: dict[str, list[Finding]] = {}
    for found in findings:
        if found.severity == "warning":
            of_code.setdefault(found.code, []).append(found)
    lines = []
    for code, of in of_code.items():
        nodes = ", ".join(f.node for f in of if f.node is not None)
        lines.append(f"warning {code}: {nodes}{': ' if nodes else ''}{of[0].what} ({of[0].value}). {of[0].fix}")
    return lines
