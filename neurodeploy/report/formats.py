"""Format numbers for the report, never rounded into a claim that the number does not make."""

from __future__ import annotations

from math import ceil, floor, isfinite, log10

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def si(value: float, unit: str, digits: int = 2) -> str:
    """Return ``value`` with ``digits`` significant digits and an SI prefix, for instance ``160 nJ``.

    Args:
        value: in the unit without a prefix.
        unit: its symbol.
        digits: significant digits, 1 or more.
    """
    if not value or not isfinite(value):
        return f"{value:g} {unit}"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = min(max(3 * floor(log10(abs(rounded)) / 3 + 1e-12), min(_PREFIXES)), max(_PREFIXES))
    scaled = rounded / 10.0**exponent
    decimals = max(0, digits - 1 - floor(log10(abs(scaled)) + 1e-12))
    return f"{scaled:.{decimals}f} {_PREFIXES[exponent]}{unit}"


def share(value: float) -> str:
    """Return a share as per cent, rounded down: 100 % stands for all and nothing less."""
    if value >= 1:
        return "100 %"
    return f"{floor(value * 1e4 + 1e-9) / 100:.2f} %"


def use_share(value: float) -> str:
    """Return how much of a limit is taken as per cent, rounded up: 100 % or less is what fits."""
    return f"{ceil(value * 1e4 - 1e-9) / 100:.2f} %"


def percent(value: float) -> str:
    """Return a measured share as per cent with two decimals."""
    return f"{100 * value:.2f} %"


def points(value: float) -> str:
    """Return a loss in percentage points; a gain has a minus, and nothing is ``0.00``."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")


def number(value: float) -> str:
    """Return a count or mean of counts: thousands separated, fractions with two decimals, small ones as they are."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.2f}"
