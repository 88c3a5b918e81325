"""The benchmark's result as one HTML file that opens offline: the table, and what it stands on as plots."""

from __future__ import annotations

import statistics
from html import escape
from typing import Any

import plotly.graph_objects as go
from bench_measure import Part
from plotly.offline import get_plotlyjs

HEAD = ("what", "measured: median (spread)", "bar", "met")

STYLE = """
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1b2330; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #dde2ea;
text-align: left; } .met { color: #12693a; } .not-met { color: #a8201a; font-weight: 600; } pre { overflow-x: auto; }
"""


def page(parts: dict[str, Part], machine: dict[str, Any], command: str) -> str:
    """Return the page.

    Args:
        parts: what each part found, by name.
        machine: what was measured on.
        command: by which it can be measured again.
    """
    rows = [row for part in parts.values() for row in part.rows]
    body = "".join(
        "<tr>" + "".join(f"<td{_mark(row.met, i)}>{escape(cell)}</td>" for i, cell in enumerate(row.cells())) + "</tr>"
        for row in rows
    )
    skipped = "".join(f"<li>{escape(reason)}</li>" for part in parts.values() for reason in part.skipped)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    plots = "".join(
        figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{name}")
        for name, figure in figures({name: part.details for name, part in parts.items()}).items()
    )
    head = "".join(f"<th>{cell}</th>" for cell in HEAD)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>neurodeploy: benchmark</title>'
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body><h1>Benchmark of the emulator</h1>"
        f"<p>{escape(machine['processor'])}, {machine['cores']} cores; {escape(versions)}.</p>"
        f"<pre>{escape(command)}</pre><table><tr>{head}</tr>{body}</table>"
        f"{f'<p>Left out:</p><ul>{skipped}</ul>' if skipped else ''}{plots}</body></html>\n"
    )


def _mark(met: bool | None, column: int) -> str:
    if met is None or column != len(HEAD) - 1:
        return ""
    return ' class="met"' if met else ' class="not-met"'


def figures(details: dict[str, dict[str, Any]]) -> dict[str, go.Figure]:
    """Return the plots for which there are figures."""
    found = {}
    if "synops_per_second" in details.get("dense", {}):
        rates = details["dense"]["synops_per_second"]
        labels = {
            "kernel": "C, tiles",
            "rows": "C, row by row",
            "emulator": "emulator",
            "uncounted": "emulator, no counters",
        }
        named = {labels[name]: [1e-9 * n for n in values] for name, values in rates.items()}
        found["synops"] = _bars(named, "784-512-10: synaptic operations", "GSynOps/s", "linear")
    steps = {
        f"{label}, {name}": [1e6 * s for s in values]
        for part, label in (("dense", "784-512-10"), ("conv", "3 convolutions"))
        for name, values in details.get(part, {}).get("seconds_per_step", {}).items()
        if name in ("emulator", "lava")
    }
    if steps:
        found["steps"] = _bars(steps, "Time of a step", "microseconds", "log")
    if "activity" in details:
        points = details["activity"]["points"]
        x = [p["synops_per_step"] for p in points]
        names = [f"{100 * p['share']:g} % active" for p in points]
        found["activity"] = _log_log(x, points, names, "Time against activity", "SynOps in a step", (1,))
    if "size" in details:
        points = details["size"]["points"]
        x, names = [p["neurons"] for p in points], [f"{p['synops_per_step']:.0f} SynOps" for p in points]
        title = "Time against size: fan-out 100, 1 % active"
        found["size"] = _log_log(x, points, names, title, "neurons", (1, 2))
    return found


def _errors(values: list[list[float]]) -> tuple[list[float], dict[str, Any]]:
    """Return medians, and the spread as plotly's error bars."""
    middle = [statistics.median(v) for v in values]
    above = [max(v) - m for v, m in zip(values, middle, strict=True)]
    below = [m - min(v) for v, m in zip(values, middle, strict=True)]
    return middle, {"type": "data", "symmetric": False, "array": above, "arrayminus": below}


def _bars(values: dict[str, list[float]], title: str, unit: str, scale: str) -> go.Figure:
    middle, errors = _errors(list(values.values()))
    bars = go.Bar(x=list(values), y=middle, error_y=errors, texttemplate="%{y:.3g}", insidetextanchor="start")
    figure = go.Figure(bars.update(textposition="inside"))
    figure.update_layout(template="plotly_white", title=title, yaxis={"title": {"text": unit}, "type": scale})
    return figure


def _log_log(
    x: list[float], points: list[dict[str, Any]], names: list[str], title: str, axis: str, slopes: tuple[int, ...]
) -> go.Figure:
    """Return times over x, with dotted lines of the given slopes through the last point."""
    middle, errors = _errors([[1e6 * s for s in p["seconds_per_step"]] for p in points])
    figure = go.Figure(go.Scatter(x=x, y=middle, error_y=errors, text=names, mode="lines+markers", name="emulator"))
    for slope in slopes:
        line = [middle[-1] * (at / x[-1]) ** slope for at in x]
        figure.add_scatter(x=x, y=line, mode="lines", line={"dash": "dot"}, name=f"slope {slope}")
    figure.update_layout(
        template="plotly_white",
        title=title,
        xaxis={"title": {"text": axis}, "type": "log"},
        yaxis={"title": {"text": "microseconds a step"}, "type": "log"},
    )
    return figure
