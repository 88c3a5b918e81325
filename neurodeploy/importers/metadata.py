"""Our own metadata in a NIR file: the JSON text that it is, and the form that is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.files import from_json
from neurodeploy.importers.texts import as_text

METADATA_KEY = "neurodeploy"


def read_metadata(content: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our own entry of NIR's metadata, decoded, and the entries of others."""
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        return {}, {}
    foreign = {key: value for key, value in metadata.items() if key != METADATA_KEY}
    text = metadata.get(METADATA_KEY)
    if text is None:
        return {}, foreign
    try:
        decoded = from_json(as_text(text[()] if isinstance(text, np.ndarray) else text))
        _check_metadata(decoded)
    except ValueError as error:
        raise DeployError(
            f"metadata key {METADATA_KEY!r} is not of the form that is read: {error}",
            where=where,
            fix="Export the model again.",
        ) from error
    return decoded, foreign


def _check_metadata(decoded: Any) -> None:
    """Raise ValueError where our metadata is not of the form that is read."""
    if not isinstance(decoded, dict):
        raise ValueError("it is not a JSON object")
    if not isinstance(decoded.get("rules", {}), dict):
        raise ValueError("rules are not a JSON object")
    for key in ("dialect", "exporter", "decision", "undecided"):
        if not isinstance(decoded.get(key, ""), str):
            raise ValueError(f"{key} is {decoded[key]!r}, which is not a text")
    edges = decoded.get("delayed_edges", [])
    if not isinstance(edges, list) or not all(
        isinstance(e, list) and all(isinstance(n, str) for n in e) for e in edges
    ):
        raise ValueError(f"delayed_edges are {edges!r}, which are not pairs of names")
    dt = decoded.get("dt", 1.0)
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not 0 < dt < float("inf"):
        raise ValueError(f"dt is {dt!r}, which is not a number above 0")
