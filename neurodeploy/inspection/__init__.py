"""Inspect a model file: what it holds, how it will be read, and what is wrong with it."""

from neurodeploy.importers.findings import Finding
from neurodeploy.inspection.model import Inspection, inspect
from neurodeploy.inspection.repair import repair

__all__ = ["Finding", "Inspection", "inspect", "repair"]
