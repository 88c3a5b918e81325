"""The comparison as a file for machines, and the schema that it keeps."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from neurodeploy.comparison.compare import Comparison
from neurodeploy.comparison.side_by_side import SideBySide
from neurodeploy.files import to_json, write_text


def write_comparison(comparison: Comparison | SideBySide, path: Path) -> None:
    """Write a comparison, on one chip or several, as JSON; the same comparison gives the same bytes.

    Raises:
        DeployError: the file cannot be written.
    """
    write_text(path, render_comparison(comparison))


def render_comparison(comparison: Comparison | SideBySide) -> str:
    """Return the file's text."""
    return to_json(comparison.result, indent=2) + "\n"


def comparison_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the comparison file."""
    text = files("neurodeploy.comparison").joinpath("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
