"""The table of several chips, and what stands above it, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from neurodeploy.backends import REFERENCE
from neurodeploy.comparison.side_by_side import REFUSED, TRAINED, SideBySide
from neurodeploy.errors import counted
from neurodeploy.report import sections
from neurodeploy.report.formats import number, percent, points, si

WORDS = {**sections.VERDICT_WORDS, REFUSED: "Refused"}

CLAIMS = {
    "pass": ("passes", "pass"),
    "fail": ("is outside the tolerance", "are outside the tolerance"),
    "not-judged": ("is not judged", "are not judged"),
    REFUSED: ("refuses the network", "refuse the network"),
}
"""What is said of one chip, and of several, by status."""


class Cell(NamedTuple):
    """What the table says of one chip: a text, its status where it has one, and what is to be said with it."""

    text: str
    status: str | None = None
    note: str = ""


class Row(NamedTuple):
    """One row of the table; ``is_common`` where one cell stands for all chips."""

    title: str
    cells: tuple[Cell, ...]
    is_common: bool = False


class Group(NamedTuple):
    """Rows of one kind."""

    title: str
    rows: tuple[Row, ...]


NOTHING = Cell("\N{EN DASH}")

LOSS_TITLES: dict[str, tuple[str, Callable[[float], Cell]]] = {
    "accuracy_loss_points": ("points lost, {}", lambda value: Cell(points(value))),
    "decisions_changed_percent": ("decisions changed, {}", lambda value: Cell(f"{value:.2f} %")),
    "value_error_percent": ("error of values, {}", lambda value: Cell(f"{value:.2f} %")),
}
"""The losses of a verdict: what a row is called, and how a loss is shown."""


def headline(side: SideBySide) -> dict[str, Any]:
    """Return what was compared, and on what."""
    result, provenance = side.result, side.result["provenance"]
    facts = [
        counted(len(result["nodes"]), "node"),
        f"{counted(result['steps'], 'step')} of {provenance['dt_s']:g} s",
        f"{counted(result['samples'], 'sample')} of {provenance['data']}",
    ]
    target = ", ".join(chip.title for chip in side.targets.values())
    return {"model": sections.model_title(provenance), "target": target, "facts": facts}


def verdict(side: SideBySide) -> dict[str, Any]:
    """Return the verdict on all chips, and how many of them are of which status."""
    status, found = side.result["verdict"]["status"], [chip["status"] for chip in side.result["summary"].values()]
    numbers = {name: found.count(name) for name in CLAIMS if name in found}
    counts = [f"{n} {CLAIMS[name][n > 1]}" for name, n in numbers.items()]
    claim = f"of {counted(len(found), 'chip')} {', '.join(counts)}"
    return {"status": status, "word": sections.VERDICT_WORDS[status], "claim": claim}


def groups(side: SideBySide) -> tuple[Group, ...]:
    """Return the table of chips: rows of one kind together, and a cell for each chip in their order."""
    found = (_fit(side), _accuracy(side), _agreement(side), _equalities(side), _energy(side), _verdict(side))
    return tuple(group for group in found if group.rows)


def _chips(side: SideBySide) -> list[dict[str, Any]]:
    return list(side.result["summary"].values())


def _union(keys: Iterable[Iterable[Any]]) -> list[Any]:
    """Return what any of several has, in the order in which it comes up."""
    return list(dict.fromkeys(key for some in keys for key in some))


def _row(title: str, chips: Iterable[dict[Any, Any]], key: Any, cell: Callable[[Any], Cell]) -> Row:
    """Return a row of what each chip has under a key."""
    return Row(title, tuple(cell(of_chip[key]) if key in of_chip else NOTHING for of_chip in chips))


def _fit(side: SideBySide) -> Group:
    chips = _chips(side)
    used = [{use["limit"]: use for use in chip["fit"] or ()} for chip in chips]
    limits = [_row(limit, used, limit, _use) for limit in _union(used)]
    return Group("Fit: used of available", (Row("the network", tuple(_fits(chip) for chip in chips)), *limits))


def _fits(chip: dict[str, Any]) -> Cell:
    if chip["status"] == REFUSED:
        return Cell("refused", "fail", chip["reason"])
    fits = all(use["fits"] for use in chip["fit"])
    return Cell("fits", "pass") if fits else Cell("does not fit", "fail", "run on the emulator only")


def _use(use: dict[str, Any]) -> Cell:
    return Cell(f"{sections.used(use)} of {number(use['available'])}")


def _accuracy(side: SideBySide) -> Group:
    chips = _chips(side)
    found = [
        side.comparisons[name].result["accuracy_detail"] if name in side.comparisons else {} for name in side.targets
    ]
    rows = [_row(name, found, name, _right) for name in _union(found)]
    for key, (title, show) in LOSS_TITLES.items():
        losses = [chip[key] for chip in chips]
        rows += [_row(title.format(name), losses, name, show) for name in _union(losses)]
    return Group("Accuracy", tuple(rows) or (Row("accuracy", tuple(_unmeasured(chip) for chip in chips)),))


def _right(detail: dict[str, Any]) -> Cell:
    return Cell(f"{percent(detail['correct'] / detail['samples'])} of {detail['samples']:,}")


def _unmeasured(chip: dict[str, Any]) -> Cell:
    return NOTHING if chip["status"] == REFUSED else Cell("not measured")


def _agreement(side: SideBySide) -> Group:
    """Return the spikes that each backend shares with the reference, by node."""
    found: dict[str, dict[str, str]] = {name: {} for name in side.targets}
    base, every = REFERENCE, counted(side.result["samples"], "sample")
    for chip, comparison in side.comparisons.items():
        table = sections.agreement_table(comparison)
        base = table["base"]
        for row in table["rows"]:
            for (name, samples), cell in zip(table["backends"], row["cells"], strict=True):
                if cell is not None and name != TRAINED:
                    fewer = "" if samples == every else f" ({samples})"
                    found[chip][f"{row['node']}, {name}{fewer}"] = cell["text"]
    rows = [_row(title, found.values(), title, Cell) for title in _union(found.values())]
    return Group(f"Spikes shared with the {base}", tuple(rows))


def _equalities(side: SideBySide) -> Group:
    """Return what is the same for all chips once, and each vendor's simulator by chip."""
    rows = [
        Row(sections.equality_title(name), (_equality(found),), True)
        for name, found in side.result["equalities"].items()
    ]
    own = [side.comparisons[name].result["equalities"] if name in side.comparisons else {} for name in side.targets]
    rows += [
        _row(sections.equality_title(name), own, name, _equality)
        for name in _union(own)
        if name not in side.result["equalities"]
    ]
    return Group("Equalities", tuple(rows))


def _equality(found: dict[str, Any]) -> Cell:
    return Cell(sections.STATUS_WORDS[found["status"]], found["status"], found["reason"])


def _energy(side: SideBySide) -> Group:
    cells = tuple(NOTHING if chip["energy"] is None else _joules(chip["energy"]) for chip in _chips(side))
    return Group("Energy per sample", (Row("by the chip's own figures", cells),))


def _joules(energy: dict[str, Any]) -> Cell:
    if energy["low_j"] is None or energy["high_j"] is None:
        return Cell("no figure", None, energy["statement"] or "")
    return Cell(f"{si(energy['low_j'], 'J')} to {si(energy['high_j'], 'J')}")


def _verdict(side: SideBySide) -> Group:
    cells = tuple(
        Cell(WORDS[chip["status"]], "fail" if chip["status"] == REFUSED else chip["status"], _reason(chip))
        for chip in _chips(side)
    )
    return Group("Verdict", (Row("verdict", cells),))


def _reason(chip: dict[str, Any]) -> str:
    """Return the reason of a verdict; that of a refusal stands above."""
    return "" if chip["status"] == REFUSED else sections.reason(chip["reason"])
