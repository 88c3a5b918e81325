"""Imports run one way between the rooms of the package, and no chip family knows another."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import neurodeploy

PACKAGE = Path(neurodeploy.__file__).parent
FAMILIES = ("loihi", "xylo")

FLOORS = (
    ("cli",),
    ("exporters", "report"),
    ("comparison", "finetuning", "search"),
    ("compiler",),
    ("analysis", "inspection"),
    ("backends.run", "backends.doctor"),
    ("backends.table",),
    ("backends.emulator", "backends.lava", "backends.loihi", "backends.xylosim"),
    ("backends.host",),
    ("backends.reference",),
    ("backends",),
    ("cost",),
    ("families.loihi", "families.xylo"),
    ("families",),
    ("passes", "importers", "coding"),
    ("ir", "targets"),
)
"""Rooms from the top to the bottom; a room imports from floors below its own, and some from their own."""


def room(module: str) -> str:
    """Return the room of a module; the root's infrastructure is none."""
    parts = module.split(".")[1:]
    if parts == ["backends"]:
        return "backends.table"
    if len(parts) > 1 and parts[0] == "families" and parts[1] in FAMILIES:
        return f"families.{parts[1]}"
    if len(parts) > 1 and parts[0] == "backends" and f"backends.{parts[1]}" in {n for floor in FLOORS for n in floor}:
        return f"backends.{parts[1]}"
    return parts[0] if parts and (PACKAGE / parts[0]).is_dir() else ""


def imports() -> dict[tuple[str, str], str]:
    """Return which room imports from which, also inside functions, with a file that does."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(("neurodeploy", *path.relative_to(PACKAGE).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurodeploy."):
                pair = room(name.removesuffix(".__init__")), room(node.module or "")
                if all(pair) and pair[0] != pair[1]:
                    found[pair] = str(path.relative_to(PACKAGE))
    return found


def test_imports_run_from_the_top_floor_down() -> None:
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    assert {name for pair in imports() for name in pair} <= set(floor)
    assert not {pair: path for pair, path in imports().items() if floor[pair[0]] > floor[pair[1]]}


def test_there_is_no_circle_of_rooms() -> None:
    sources: dict[str, set[str]] = {}
    for source, target in imports():
        sources.setdefault(source, set()).add(target)
    assert TopologicalSorter(sources).static_order()


def test_no_family_knows_another() -> None:
    families = {f"families.{name}" for name in FAMILIES}
    assert not {pair for pair in imports() if set(pair) <= families}


def test_the_root_holds_infrastructure_only() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {
        "__init__", "__main__", "arrays", "budget", "errors", "file_kinds", "files", "members", "notebook", "preparing",
        "shipped", "version",
    }  # fmt: skip
