"""How a network is compiled, as keyword arguments that editors, mypy, ``help`` and notebooks show."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypedDict, TypeVar, cast

from neurodeploy.errors import known
from neurodeploy.families.options import CompileOptions

F = TypeVar("F", bound=Callable[..., Any])


class Quantising(TypedDict, total=False):
    """Fields of :class:`CompileOptions` for a network that is quantised whole, in bits that something else says."""

    scale: str | None
    rounding: str | None
    correct: tuple[str, ...] | None
    per_channel: bool | None
    message_bits: int
    input_scale: float | None
    input_range: dict[str, tuple[float, float]] | None
    allow_oversize: bool
    allow_silent: bool
    approximate: bool


class Compiling(Quantising, total=False):
    """All fields of :class:`CompileOptions`."""

    weight_bits: int | str | None
    host: int | str | None


def shows(keywords: type[Quantising]) -> Callable[[F], F]:
    """Return what lets a function show each of the options that it takes as ``**options: Unpack[keywords]``.

    They appear in its signature, with type and default, and in its docstring. The function then refuses an argument
    that it does not have with a TypeError that names the nearest.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        names = keywords.__annotations__.keys() - signature.parameters
        options = [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
            for one in fields(CompileOptions)
            if one.name in names
        ]
        full = signature.replace(parameters=[*own, *options])

        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            for name in given.keys() - full.parameters:
                near = get_close_matches(name, full.parameters, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {known(full.parameters)}"
                raise TypeError(f"{function.__name__}() has no argument {name!r}; {hint}")
            return function(*args, **given)

        checked.__signature__ = full  # type: ignore[attr-defined]
        checked.__doc__ = f"{inspect.getdoc(function)}\n\nOptions of compiling:\n{_docs(keywords)}"
        return cast("F", checked)

    return decorate


def _docs(keywords: type[Quantising]) -> str:
    """Return what the docstring of :class:`CompileOptions` says of some of its fields."""
    entries = re.split(r"^(?=\w+: )", inspect.getdoc(CompileOptions) or "", flags=re.MULTILINE)
    told = [entry for entry in entries if entry.partition(":")[0] in keywords.__annotations__]
    return "".join(re.sub("^(?=.)", "    ", entry, flags=re.MULTILINE) for entry in told)
