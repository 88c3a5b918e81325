"""The stages of compiling, in their order: each says what it leaves, is logged, checked again, and named when it fails.

A stage takes a :class:`~neurodeploy.families.base.Draft` and returns it with more in it. A transformation changes
network, codes or program; an analysis leaves them as they are. Most belong to the target's chip family. Other packages
add stages by entry points of the group ``neurodeploy.stages``, each of which names a :class:`Stage` with ``after``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from neurodeploy.compiler.dump import dump_stage
from neurodeploy.errors import DeployError, known
from neurodeploy.families import find_family
from neurodeploy.families.base import Draft

GROUP = "neurodeploy.stages"

_log = logging.getLogger("neurodeploy.compiler")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    name: as logs, dumps and refusals call it. leaves: what holds once it is through, as a sentence.
    run: what it does; None for what the target's family does under this name.
    is_analysis: it leaves network and program as they are.
    after: of another package's stage, the stage that it follows.
    """

    name: str
    leaves: str
    run: Callable[[Any], Draft] | None = None
    is_analysis: bool = False
    after: str = ""


STAGES = (
    Stage("read", "The network is as the model's file and the dialect have it, without what the host runs."),
    Stage("fold", "Every operation between neurons is linear, and inputs and outputs are the same."),
    Stage("approximate", "The target has every neuron, or it was refused."),
    Stage("schedule", "Every spike arrives in the row in which it acts in the model.", is_analysis=True),
    Stage("scale", "Every population is in the chip's form, in float, with scales that its registers hold."),
    Stage("code", "Every population and projection is whole numbers, and the losses are known."),
    Stage("map", "The program is whole, with what the chip needs to keep the model's time, and fits the chip."),
    Stage("check", "The program's bounds are known, and no population is silent.", is_analysis=True),
)


@cache
def all_stages() -> tuple[Stage, ...]:
    """Return all stages in their order, with those of other packages after the ones that they name.

    Raises:
        DeployError: a package's stage cannot be loaded, or follows one that there is not.
    """
    found = list(STAGES)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            stage: Stage = entry.load()
            place = [one.name for one in found].index(stage.after)
        except Exception as error:  # whatever another package does as it is imported
            raise DeployError(
                f"the stage {entry.name!r} of another package cannot be used ({type(error).__name__}: {error})",
                where=entry.value,
                fix=f"Mend or remove that package; a stage comes after one of {known(one.name for one in STAGES)}.",
            ) from error
        found.insert(place + 1, stage)
    return tuple(found)


def run_stages(draft: Draft, until: str = "check", dump: Path | None = None) -> Draft:
    """Take a draft that was read through all further stages.

    Args:
        draft: what the first stage left.
        until: the last stage.
        dump: folder in which what each stage leaves is written, or None.

    Raises:
        DeployError: a stage refuses; its ``stage`` says which.
        AssertionError: a stage does not leave what it has to.
    """
    own = find_family(draft.target.family).stages()
    for number, stage in enumerate(all_stages(), start=1):
        if stage.name != "read":
            draft = run_stage(stage, partial(stage.run or own[stage.name], draft), draft)
        if dump is not None:
            dump_stage(dump, number, stage.name, stage.leaves, draft)
        if stage.name == until:
            break
    return draft


def run_stage(stage: Stage, run: Callable[[], Draft], before: Draft | None = None) -> Draft:
    """Run one stage: its time is logged, what it left is checked, and a failure names it.

    Args:
        stage: the stage.
        run: does it, and returns the draft that it leaves.
        before: what the stage before left, with which the draft is compared, or None where there is nothing to check.
    """
    started = time.perf_counter()
    try:
        draft = run()
        if before is not None:
            _check(stage, before, draft)
    except DeployError as error:
        error.stage = error.stage or stage.name
        raise
    except Exception as error:
        error.add_note(f"in the stage {stage.name!r} of compiling, which leaves: {stage.leaves}")
        raise
    _log.debug("%s: %.0f ms", stage.name, 1e3 * (time.perf_counter() - started))
    return draft


def _check(stage: Stage, before: Draft, after: Draft) -> None:
    """Refuse what no stage may leave, or not this one; AssertionError with what it is."""
    network, program = after.network, after.program
    wrong = {
        "it left other inputs or outputs": (network.inputs, network.outputs)
        != (before.network.inputs, before.network.outputs),
        "it is an analysis, and changed the network or the program": stage.is_analysis
        and (network is not before.network or program is not before.program),
        "it left projections without a delay": bool(after.delays) and set(network.projections) - set(after.delays),
        "it left a program that does not have the network's populations": program is not None
        and not {p.name for p in network.populations} <= set(program.latency),
        "it left a program of other latencies than were scheduled": program is not None
        and any(program.latency[name] != step for name, step in after.latency.items() if name in program.latency),
    }
    replace(network)  # its own checks, once more
    if faults := [what for what, is_so in wrong.items() if is_so]:
        raise AssertionError("; ".join(faults))
