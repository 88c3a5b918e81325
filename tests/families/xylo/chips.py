"""The chips of the family that ship with neurodeploy."""

from __future__ import annotations

from neurodeploy.families.target_file import load_target, target_names
from neurodeploy.families.xylo.target import XyloTarget

CHIPS = {name: one.chip for name in target_names() if isinstance(one := load_target(name), XyloTarget)}
