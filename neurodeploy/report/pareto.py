"""The result of a search of widths: the Pareto front as lines of text, and as a page that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurodeploy.coding.scoring import wilson
from neurodeploy.errors import counted
from neurodeploy.files import write_text
from neurodeploy.report import formats
from neurodeploy.report.html import _embedded_json, _environment, _file, _script
from neurodeploy.search.bits import SearchResult
from neurodeploy.search.trials import Trial

TEMPLATE = "pareto.html.j2"
TITLES = {
    "accuracy": "accuracy",
    "agreement": "output spikes in common with the reference",
    "agreement_all": "spikes in common with the reference",
}


def front_table(result: SearchResult) -> tuple[list[str], list[list[str]]]:
    """Return the Pareto front as a head and rows of text, the cheapest first.

    Columns that nothing measures are left out. The first column says ``best``, or ``over`` where the budget is broken.
    """
    trials = result.front if result.best in result.front else (*result.front, result.best)
    columns = {
        "": [_mark(result, trial) for trial in trials],
        "bits": [" ".join(map(str, trial.widths)) for trial in trials],
        "bytes": [formats.number(trial.weight_bytes) for trial in trials],
        "energy": ["" if trial.energy is None else formats.si(trial.energy, "J", 4) for trial in trials],
        "accuracy (95 % interval)": [_accuracy(trial) for trial in trials],
        "points lost": ["" if trial.lost_points is None else formats.points(trial.lost_points) for trial in trials],
        "output agreement": ["" if trial.agreement is None else formats.share(trial.agreement) for trial in trials],
        "agreement": [formats.share(trial.agreement_all) for trial in trials],
    }
    used = {name: cells for name, cells in columns.items() if any(cells)}
    return list(used), [list(row) for row in zip(*used.values(), strict=True)]


def front_lines(result: SearchResult) -> list[str]:
    """Return the Pareto front as lines for a terminal."""
    head, rows = front_table(result)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return [f"bits of: {', '.join(result.subject.names)}", *table, *notes(result)]


def notes(result: SearchResult) -> list[str]:
    """Return what a reader must know of these numbers, a sentence each."""
    best, budget = result.best, result.budget
    found = [
        f"budget {budget}: kept by {' '.join(map(str, best.widths))} on {best.samples} samples of"
        f" {result.subject.data.source}, on which the widths were chosen; measure on other data before relying on it",
        f"{counted(len(result.trials), 'trial')} measured"
        + (f", {len(result.refusals)} refused by the compiler" if result.refusals else ""),
    ]
    if budget.accuracy is not None and budget.accuracy < 100.0 / best.samples:
        found.append(
            f"one sample is {100.0 / best.samples:.2g} points, so with a budget of {budget.accuracy:g} no sample may"
            " be lost"
        )
    if result.profile is not None:
        found.append(
            f"energy: dynamic, per sample, by {result.profile.title}; an event costs the same at every width, so widths"
            " change it only as far as they change what fires"
        )
    return found


def write_pareto_page(result: SearchResult, path: Path) -> None:
    """Write the Pareto front as one HTML file; the same search and versions give the same bytes.

    Raises:
        DeployError: the file cannot be written.
    """
    write_text(path, render_pareto_page(result))


def render_pareto_page(result: SearchResult) -> str:
    """Return the page as text."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped, unused-ignore]

    environment = _environment()
    head, rows = front_table(result)
    return environment.get_template(TEMPLATE).render(
        target=result.subject.target.title,
        names=result.subject.names,
        head=head,
        rows=rows,
        notes=notes(result),
        refusals=[(" ".join(map(str, widths)), why) for widths, why in result.refusals.items()],
        plot_json=_embedded_json(plot_data(result)),
        css=_file(environment, "report.css"),
        pareto_js=_file(environment, "pareto.js"),
        plotly_js=_script(get_plotlyjs()),
    )


def plot_data(result: SearchResult) -> dict[str, Any]:
    """Return what the plot shows, JSON-ready: points by kind, axis titles, and the limit that the budget sets."""
    budget = result.budget
    others = tuple(trial for trial in result.trials if trial not in result.front)
    limit = 100.0 * getattr(budget, budget.measure) if budget.measure != "accuracy" else None
    if budget.accuracy is not None and result.reference_correct is not None:
        limit = 100.0 * result.reference_correct / result.best.samples - budget.accuracy
    return {
        "x_title": "bytes of weights" if budget.minimise == "memory" else "energy per sample (J)",
        "y_title": f"{TITLES[budget.measure]} (%)",
        "limit": limit,
        "others": [_point(result, trial) for trial in others],
        "front": [_point(result, trial) for trial in result.front],
        "best": [_point(result, result.best)],
    }


def _point(result: SearchResult, trial: Trial) -> dict[str, Any]:
    y, low, high = _height(result, trial)
    text = [f"{name}: {bits}" for name, bits in zip(result.subject.names, trial.widths, strict=True)]
    return {"x": result.budget.cost(trial), "y": 100.0 * y, "low": 100.0 * low, "high": 100.0 * high, "text": text}


def _height(result: SearchResult, trial: Trial) -> tuple[float, float, float]:
    """Return what is plotted upwards, with the ends of its interval."""
    if result.budget.measure == "accuracy" and trial.correct is not None:
        return trial.correct / trial.samples, *wilson(trial.correct, trial.samples)
    share = trial.agreement_all if result.budget.measure == "agreement_all" else trial.agreement or 0.0
    return share, share, share


def _accuracy(trial: Trial) -> str:
    if trial.correct is None:
        return ""
    low, high = wilson(trial.correct, trial.samples)
    return f"{formats.percent(trial.correct / trial.samples)} ({100 * low:.1f} to {100 * high:.1f})"


def _mark(result: SearchResult, trial: Trial) -> str:
    if trial == result.best:
        return "best"
    return "" if result.budget.keeps(trial) else "over"
