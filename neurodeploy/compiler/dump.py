"""Write what each stage of compiling left into files: a summary in JSON, and networks and programs as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurodeploy.errors import DeployError
from neurodeploy.families.base import Draft
from neurodeploy.families.program_file import save_program
from neurodeploy.files import text_array, to_json, write_npz, write_text
from neurodeploy.ir.host import to_arrays
from neurodeploy.ir.plan import save_plan


def dump_stage(folder: Path, number: int, name: str, leaves: str, draft: Draft) -> None:
    """Write what a stage left: ``3-approximate.json`` and, of network or program, ``3-approximate.npz``.

    Args:
        folder: in which files are written; it is made where it is missing.
        number: place of the stage, from 1.
        name: of the stage.
        leaves: what it has to leave, as a sentence.
        draft: what it left.

    Raises:
        DeployError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(
            f"the folder cannot be made ({error.strerror})", where=str(folder), fix="Name a folder that can be written."
        ) from error
    path = folder / f"{number}-{name}"
    write_text(path.with_suffix(".json"), to_json({"stage": name, "leaves": leaves, **_summary(name, draft)}) + "\n")
    if draft.program is not None:
        save_program(draft.program, path.with_suffix(".npz"))
    else:
        structure, arrays = to_arrays(draft.network)
        write_npz(path.with_suffix(".npz"), {**arrays, "manifest": text_array(to_json(structure))})
    if draft.complete is not None:
        save_plan(draft.complete, path.with_suffix(".plan.yaml"))


def _summary(name: str, draft: Draft) -> dict[str, Any]:
    """Return the sizes of what there is, and what the stage itself left."""
    network, program = draft.network, draft.program
    found: dict[str, Any] = {
        "populations": {p.name: {"shape": list(p.shape), "neurons": p.size} for p in network.populations},
        "projections": {
            p.name: {"operations": [type(op).__name__ for op in p.ops], "delay": draft.delays.get(p, p.delay)}
            for p in network.projections
        },
    }
    if draft.latency:
        found["latency"] = {p.name: draft.latency[p.name] for p in network.populations}
    if own := draft.left(name):
        found[name] = own
    if program is not None:
        found["added"] = {p.name: p.helps for p in program.populations if p.helps}
        found["warnings"] = list(program.warnings)
    if draft.contract is not None:
        found["contract"] = draft.contract.as_json()
    return found
