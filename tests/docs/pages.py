"""Pages of ``docs/adding``: their fenced blocks are files, changes of files, commands and what these print.

The info string of a fence says which it is::

    ```python PATH      a file, made at that path; any language but these:
    ```diff PATH        a change of an existing file: lines that begin with a space and with - stand in it, once and
                        together; those with + take the place of those with -. A line @@ begins another place.
    ```sh               commands, run by bash in the checkout; they have to succeed
    ```text             lines that the commands before it print
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = ROOT / "docs" / "adding"

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the path in its info string or nothing, and its text."""

    language: str
    path: str
    text: str


def blocks(name: str) -> list[Block]:
    return [Block(*found.groups("")) for found in FENCE.finditer((PAGES / name).read_text())]


def touches(name: str) -> str:
    """Return in words how many files a page makes and changes, in the package, of tests, and outside."""
    files = {block.path: block.language for block in blocks(name) if block.path}
    own = [path for path in files if path.startswith("neurodeploy/")]
    made, changed = ([path for path in own if (files[path] == "diff") is is_diff] for is_diff in (False, True))
    folders = Counter(folder for path in made if not (ROOT / (folder := path.rpartition("/")[0])).is_dir())
    tests = [path for path in files if path.startswith("tests/")]
    parts = [f"1 new folder of {n} files" for n in folders.values()]
    parts += _counted(len(made) - folders.total(), "new file") + _counted(len(changed), "changed file")
    parts += _counted(len(tests), "test")
    outside = len(files) - len(own) - len(tests)
    return ", ".join(parts) or f"nothing here; {_counted(outside, 'file')[0]} outside"


def _counted(n: int, what: str) -> list[str]:
    return [f"{n} {what}{'s' * (n > 1)}"] if n else []


def follow(name: str, folder: Path) -> None:
    """Do all that a page says, in a copy of the checkout; AssertionError where something else happens."""
    for part in ("neurodeploy", "targets", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("golden"))
    for part in ("models", "pyproject.toml"):
        (folder / part).symlink_to(ROOT / part)
    printed = ""
    for block in blocks(name):
        match block.language:
            case "sh":
                printed = _run(block.text, folder)
            case "text":
                for line in block.text.splitlines():
                    assert line in printed, f"{name} shows {line!r}, but its commands print:\n{printed}"
            case "diff":
                _change(folder / block.path, block.text)
            case _:
                _make(folder / block.path, block.text)


def _make(path: Path, text: str) -> None:
    assert not path.exists(), f"{path} is there already"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if path.name == "pyproject.toml":
        _install(path)


def _install(project: Path) -> None:
    """Lay down what an installer does of a project: its name, version and entry points."""
    content = tomllib.loads(project.read_text())["project"]
    info = project.parent / f"{content['name'].replace('-', '_')}-{content['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {content['name']}\nVersion: {content['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())])
        for group, entries in content.get("entry-points", {}).items()
    ]
    (info / "entry_points.txt").write_text("\n".join([*groups, ""]))


def _change(path: Path, diff: str) -> None:
    text = path.read_text()
    for place in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = [(line[:1] or " ", line[1:]) for line in place.splitlines()]
        old, new = ("".join(f"{line}\n" for sign, line in lines if sign in kept) for kept in (" -", " +"))
        assert text.count(old) == 1, f"{path} has these lines {text.count(old)} times, not once:\n{old}"
        text = text.replace(old, new)
    path.write_text(text)


def _run(commands: str, folder: Path) -> str:
    """Return what commands print, run where ``neurodeploy``, ``python`` and installed projects are those of a copy."""
    command = folder / ".bin" / "neurodeploy"
    if not command.exists():
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m neurodeploy "$@"\n')
        command.chmod(0o755)
    projects = [path.parent for path in folder.glob("*/pyproject.toml")]
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(map(str, [folder, *projects])),
            "NEURODEPLOY_LAVA_PYTHON": "/nonexistent",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
