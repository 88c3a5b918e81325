"""Limits on what a file or a model may need, checked before the work; environment variables raise them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from neurodeploy.errors import DeployError


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on one kind of need.

    variable: the environment variable that sets another limit. usual: the limit without it. unit: what is counted.
    """

    variable: str
    usual: int
    unit: str

    @property
    def most(self) -> int:
        """The limit that holds now.

        Raises:
            DeployError: the environment variable holds no number above 0.
        """
        text = os.environ.get(self.variable) or str(self.usual)
        try:
            number = int(float(text))
        except (ValueError, OverflowError):
            number = 0
        if number < 1:
            raise DeployError(
                f"{text!r} is not a number of {self.unit}",
                where=f"environment variable {self.variable}",
                fix="Set it to a whole number above 0, or unset it.",
            )
        return number

    def check(self, needed: int, what: str, where: str, less: str = "Check the file or the model.") -> None:
        """Refuse a need beyond the limit.

        Args:
            needed: how many of the unit.
            what: what needs them, as the message begins.
            where: file, node or option.
            less: how to need less, a sentence.

        Raises:
            DeployError: it is more than the limit; the message says how to raise that.
        """
        if needed <= self.most:
            return
        count = f"{needed:,}" if needed < 10**15 else "more than 10^15"
        raise DeployError(
            f"{what} needs {count} {self.unit}, but the limit is {self.most:,}",
            where=where,
            fix=f"{less} If it is meant to be that large, raise the limit: set the environment variable"
            f" {self.variable} to the number that you need.",
        )


MAX_ARRAY_BYTES = Limit("NEURODEPLOY_MAX_ARRAY_BYTES", 2**30, "bytes")
"""Arrays of one file that are held in memory together."""

MAX_UNPACKED_BYTES = Limit("NEURODEPLOY_MAX_UNPACKED_BYTES", 2**36, "bytes")
"""Compressed arrays of one file that are unpacked to the disk, to be read in parts."""

MAX_TEXT_BYTES = Limit("NEURODEPLOY_MAX_TEXT_BYTES", 2**26, "bytes")
"""A plan or another text file, or a text inside a file."""

MAX_TARGET_BYTES = Limit("NEURODEPLOY_MAX_TARGET_BYTES", 2**20, "bytes")
"""A target file; the longest that comes with neurodeploy has some 10,000."""

MAX_PICKLE_BYTES = Limit("NEURODEPLOY_MAX_PICKLE_BYTES", 2**22, "bytes")
"""What a file of torch.save holds beside its tensors: their names, and where each lies."""

MAX_PLAN_VALUES = Limit("NEURODEPLOY_MAX_PLAN_VALUES", 300_000, "values")
"""Numbers and words of a plan; a YAML parser takes some 10 microseconds for each."""

MAX_NEURONS = Limit("NEURODEPLOY_MAX_NEURONS", 2**22, "neurons")
"""All neurons and inputs of a model or program, and what passes through any node between them.

Four times what the largest chip that is known here holds.
"""

MAX_NODES = Limit("NEURODEPLOY_MAX_NODES", 1_000, "nodes")
"""Nodes of a graph."""

MAX_PROJECTIONS = Limit("NEURODEPLOY_MAX_PROJECTIONS", 1_500, "projections")
"""Paths between the neurons of a graph, as each becomes synapses of its own; also its edges."""

MAX_STEPS = Limit("NEURODEPLOY_MAX_STEPS", 1_000_000, "time steps")
"""Rows of the input."""

MAX_RUN_BYTES = Limit("NEURODEPLOY_MAX_RUN_BYTES", 2**32, "bytes")
"""What is recorded in memory of the samples that run at once, with their input; reports keep as much again."""

LIMITS = (
    MAX_ARRAY_BYTES,
    MAX_UNPACKED_BYTES,
    MAX_TEXT_BYTES,
    MAX_TARGET_BYTES,
    MAX_PICKLE_BYTES,
    MAX_PLAN_VALUES,
    MAX_NEURONS,
    MAX_NODES,
    MAX_PROJECTIONS,
    MAX_STEPS,
    MAX_RUN_BYTES,
)
