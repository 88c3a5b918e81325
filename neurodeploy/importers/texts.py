"""Texts of a model, which are ``str`` in a file and can be ``bytes`` in memory."""

from __future__ import annotations

from typing import Any


def is_text(value: Any) -> bool:
    """Tell whether a value is a text."""
    return isinstance(value, (str, bytes))


def as_text(value: Any) -> str:
    """Return a value as ``str``."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
