"""The comparison as a page: one file that opens offline, with interactive rasters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from neurodeploy.comparison.compare import Comparison
from neurodeploy.comparison.side_by_side import REFUSED, SideBySide
from neurodeploy.files import write_text
from neurodeploy.report import formats, sections, side_by_side
from neurodeploy.report.rasters import RasterLimits, raster_data


def write_report(comparison: Comparison | SideBySide, path: Path) -> None:
    """Write a comparison as one HTML file; the same comparison and versions give the same bytes.

    Args:
        comparison: what to show, on one chip or several.
        path: the file, usually ``*.html``.

    Raises:
        DeployError: the file cannot be written.
    """
    write_text(path, render_report(comparison))


def render_report(comparison: Comparison | SideBySide, limits: RasterLimits | None = None) -> str:
    """Return the page as text.

    Args:
        comparison: what to show, on one chip or several.
        limits: how many spikes to carry.
    """
    environment, limits = _environment(), limits or RasterLimits()
    if isinstance(comparison, SideBySide):
        return _several(environment, comparison, limits)
    rasters = raster_data(comparison, limits)
    return _page(
        environment,
        "report.html.j2",
        {"": rasters},
        headline=sections.headline(comparison),
        verdict=sections.verdict(comparison),
        sections=_chip(environment, comparison, rasters),
    )


def _several(environment: Environment, side: SideBySide, limits: RasterLimits) -> str:
    """Return the page of several chips: their table, then all of each chip."""
    limits = replace(limits, total=limits.total // len(side.targets))
    places = {name: f"chip{number}-" for number, name in enumerate(side.targets, start=1)}
    rasters = {name: {**raster_data(comparison, limits), "chip": name} for name, comparison in side.comparisons.items()}
    chips = [
        {
            "name": name,
            "title": chip.title,
            "at": places[name],
            "refused": side.result["targets"][name].get(REFUSED),
            "sections": name in rasters and _chip(environment, side.comparisons[name], rasters[name], places[name], 3),
        }
        for name, chip in side.targets.items()
    ]
    return _page(
        environment,
        "side_by_side.html.j2",
        {places[name]: of_chip for name, of_chip in rasters.items()},
        headline=side_by_side.headline(side),
        verdict=side_by_side.verdict(side),
        groups=side_by_side.groups(side),
        has_least=any(use["is_least"] for chip in side.result["summary"].values() for use in chip["fit"] or ()),
        chips=chips,
    )


def _page(environment: Environment, template: str, rasters: dict[str, dict[str, Any]], **contents: Any) -> str:
    """Return a page with its scripts, and the rasters that they draw, by what the ids of their elements begin with."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped, unused-ignore]

    return environment.get_template(template).render(
        **contents,
        rasters=[(at, _embedded_json(data)) for at, data in rasters.items()],
        css=_file(environment, "report.css"),
        trouble_js=_file(environment, "trouble.js"),
        raster_js=_file(environment, "raster.js"),
        plotly_js=_script(get_plotlyjs()),
    )


def _chip(
    environment: Environment, comparison: Comparison, rasters: dict[str, Any], at: str = "", heading: int = 2
) -> Markup:
    """Return all sections of one chip.

    Args:
        environment: of the templates.
        comparison: what to show.
        rasters: of :func:`raster_data`.
        at: what ids begin with, where there are several chips in a page.
        heading: level of the sections' headings.
    """
    text = environment.get_template("chip.html.j2").render(
        at=at,
        h=heading,
        verdict=sections.verdict(comparison),
        equalities=sections.equality_cards(comparison),
        accuracy=sections.accuracy_rows(comparison),
        decision=sections.decision(comparison),
        regression=sections.regression_rows(comparison),
        values=sections.value_rows(comparison),
        agreement=sections.agreement_table(comparison),
        differences=sections.first_differences(comparison, rasters.get("chip")),
        fit=sections.fit_rows(comparison),
        spikes=sections.spike_table(comparison),
        worst=sections.worst_case_table(comparison),
        energy=sections.energy(comparison),
        provenance=sections.provenance(comparison),
        warnings=comparison.result["warnings"],
        rasters=rasters,
    )
    return Markup(text)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("neurodeploy", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(si=formats.si, number=formats.number)
    return environment


def _file(environment: Environment, name: str) -> Markup:
    """Return a script or style sheet of ours, which is no template."""
    assert environment.loader is not None
    return _script(environment.loader.get_source(environment, name)[0])


def _script(text: str) -> Markup:
    """Return code unchanged; ValueError if it would end the element that holds it."""
    lowered = text.lower()
    if any(end in lowered for end in ("</script", "</style", "<!--")):
        raise ValueError("code that ends its own element cannot be embedded")
    return Markup(text)


def _embedded_json(value: Any) -> Markup:
    """Return JSON that stands inside a script element whatever names it holds."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
