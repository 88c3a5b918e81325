"""The comparison as a page: one file that opens offline, with interactive rasters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from neurodeploy.comparison.compare import Comparison
from neurodeploy.files import write_text
from neurodeploy.report import formats, sections
from neurodeploy.report.rasters import RasterLimits, raster_data

TEMPLATE = "report.html.j2"


def write_report(comparison: Comparison, path: Path) -> None:
    """Write a comparison as one HTML file; the same comparison and versions give the same bytes.

    Args:
        comparison: what to show.
        path: the file, usually ``*.html``.

    Raises:
        DeployError: the file cannot be written.
    """
    write_text(path, render_report(comparison))


def render_report(comparison: Comparison, limits: RasterLimits | None = None) -> str:
    """Return the page as text.

    Args:
        comparison: what to show.
        limits: how many spikes to carry.
    """
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped, unused-ignore]

    environment = _environment()
    limits = limits or RasterLimits()
    rasters = raster_data(comparison, limits)
    return environment.get_template(TEMPLATE).render(
        headline=sections.headline(comparison),
        verdict=sections.verdict(comparison),
        equalities=sections.equality_cards(comparison),
        accuracy=sections.accuracy_rows(comparison),
        decision=sections.decision(comparison),
        regression=sections.regression_rows(comparison),
        values=sections.value_rows(comparison),
        agreement=sections.agreement_table(comparison),
        differences=sections.first_differences(comparison),
        spikes=sections.spike_table(comparison),
        worst=sections.worst_case_table(comparison),
        energy=sections.energy(comparison),
        provenance=sections.provenance(comparison),
        warnings=comparison.result["warnings"],
        rasters=rasters,
        raster_json=_embedded_json(rasters),
        css=_file(environment, "report.css"),
        trouble_js=_file(environment, "trouble.js"),
        raster_js=_file(environment, "raster.js"),
        plotly_js=_script(get_plotlyjs()),
    )


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
