"""Target files: read by the schema of the chip family that they name, from ``targets/`` or a file of the user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, get_args

from pydantic import ValidationError

from neurodeploy.budget import MAX_TARGET_BYTES
from neurodeploy.errors import DeployError, known
from neurodeploy.families import family_names, find_family
from neurodeploy.files import read_text
from neurodeploy.shipped import shipped_folder
from neurodeploy.targets.target import Target
from neurodeploy.targets.target_file import Place, in_words, inherit, line_of


def target_names() -> tuple[str, ...]:
    """Return the names of the targets that ship with neurodeploy."""
    return tuple(sorted(path.stem for path in shipped_folder("targets").glob("*.toml")))


def load_target(target: str | Path | Target) -> Target:
    """Return a target.

    Args:
        target: the name of one that ships with neurodeploy, the path of a TOML file, or the target itself.

    Raises:
        DeployError: there is none of that name, or it states what is no fact, or one that cannot be (with the key).
    """
    if isinstance(target, Target):
        if faults := "; ".join(sentence for _, sentence in _faults(target)):
            raise DeployError(f"this target is refused: {faults}", where=f"target {target.name!r}", fix=_FIX)
        return target
    if not isinstance(target, (str, Path)):
        raise DeployError(
            f"--target is {shortened(target)}, which is not a target",
            where="--target",
            fix="Give the name of a target, a TOML file or a Target.",
        )
    if isinstance(target, Path) or target.endswith(".toml") or "/" in target:
        return read_target(Path(target))
    return _shipped(target)


@cache
def _shipped(name: str) -> Target:
    if name not in target_names():
        raise DeployError(
            f"no target is called {name!r}",
            where="--target",
            fix=f"Choose one of {known(target_names())}, or name a TOML file of your own, ./mychip.toml.",
        )
    return read_target(_shipped_file(name))


def _shipped_file(name: str) -> Path:
    return shipped_folder("targets") / f"{name}.toml"


def read_target(path: Path) -> Target:
    """Return the target that a file describes; with ``extends``, what it leaves out is another's.

    Raises:
        DeployError: it is no TOML, or it states what is no fact, or a fact that cannot be; with the keys and the lines.
    """
    return _read(path, ())[0]


def _read(path: Path, readers: tuple[Path, ...]) -> tuple[Target, dict[str, Any]]:
    """Return a target and its content, ``extends`` resolved; ``readers`` are the files that extend it."""
    text = read_text(path, "a target file", MAX_TARGET_BYTES)
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeployError(
            f"this is not a target file: it is not valid TOML ({error})", where=str(path), fix=_FIX
        ) from error
    if "extends" in content:
        content = _extended(path, text, content, (*readers, path.resolve()))
    schema = _schema(path, text, content)
    try:
        target = schema.model_validate(content)
    except ValidationError as error:
        found = [(one["loc"], in_words(one, _siblings(schema, one["loc"]))) for one in error.errors()]
        raise _refused(path, text, found) from error
    if faults := list(_faults(target)):
        raise _refused(path, text, faults)
    return target, content


def _extended(path: Path, text: str, content: dict[str, Any], readers: tuple[Path, ...]) -> dict[str, Any]:
    """Return a file's content with all that it leaves out taken from the target that it extends."""
    own, other = {key: value for key, value in content.items() if key != "extends"}, content["extends"]
    base = _shipped_file(other) if other in target_names() else path.parent / str(other)
    if not base.is_file() or base.resolve() in readers:
        why = "extends itself" if base.is_file() else f"extends {other!r}, which is neither a target nor a file"
        fix = f"Extend one of {known(target_names())}, or a TOML file, whose path starts at this file's folder."
        raise DeployError(f"this target {why}", where=_where(path, text, [("extends",)]), fix=fix)
    target, inherited = _read(base, readers)
    if (family := own.get("family", target.family)) != target.family:
        fault = (
            f"family is {shortened(family)}, but {other!r}, which this file extends, is of the family {target.family!r}"
        )
        raise _refused(path, text, [(("family",), fault)])
    name = own.get("name", path.stem)
    known_of = {"name": name, "title": f"{name}, after {target.title}"}
    if target.energy.profiles and other in target_names():
        # Measured on the other chip, so they are not figures of this one.
        known_of["energy"] = {"statement": f"{path.name} states no energies.", "profiles_of": other}
    return inherit(inherited, {**known_of, **own}, path.name, type(target).SECTIONS)


def _schema(path: Path, text: str, content: dict[str, Any]) -> type[Target]:
    """Return the schema of the family that a file's content names.

    Raises:
        DeployError: it names none, or one that there is not.
    """
    if "family" not in content:
        raise _refused(path, text, [(("family",), "family is missing, and every target has to give it")])
    if (name := content["family"]) not in family_names():
        fault = f"family is {shortened(name)}, but it has to be one of {known(family_names())}"
        raise _refused(path, text, [(("family",), fault)])
    return find_family(name).target


def _siblings(schema: type[Target], place: Place) -> dict[str, Any]:
    """Return what the table takes in which a key of that place stands."""
    model: Any = schema
    for part in place[:-1]:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else next(iter(get_args(model)), None)
    if not hasattr(model, "model_fields"):
        return {}
    return {**model.model_fields, **({"extends": None} if model is schema else {})}


def _faults(target: Target) -> Iterator[tuple[Place, str]]:
    """Yield which facts cannot be, each with its place."""
    names = find_family(target.family).arithmetics
    if target.arithmetic not in names:
        yield ("arithmetic",), f"arithmetic is {target.arithmetic!r}, but it has to be one of {known(names)}"
    for key, fact in target.facts():
        if fault := target.ALLOWED[key].fault(key, fact):
            yield tuple(key.split(".")), fault
    yield from target.own_faults()
    yield from _energy_faults(target)


def _energy_faults(target: Target) -> Iterator[tuple[Place, str]]:
    energy = target.energy
    names = [profile.name for profile in energy.profiles]
    if len(set(names)) < len(names):
        yield ("energy", "profiles"), f"energy.profiles has a name twice: {', '.join(names)}"
    if energy.profiles and energy.profiles_of is not None:
        yield (
            ("energy", "profiles_of"),
            "energy.profiles_of is never read where there are energy.profiles; remove either of the two",
        )
    if not energy.profiles and energy.statement is None:
        yield ("energy",), "energy has neither profiles nor a statement that says why"
    if energy.profiles_of is not None and energy.profiles_of not in target_names():
        yield (
            ("energy", "profiles_of"),
            f"energy.profiles_of is {energy.profiles_of!r}; there are {known(target_names())}",
        )


_FIX = "Correct the file; `neurodeploy targets NAME` shows every fact of a chip with its unit and its source."


def _refused(path: Path, text: str, faults: list[tuple[Place, str]]) -> DeployError:
    sentences = "; ".join(sentence for _, sentence in faults)
    return DeployError(
        f"this target file is refused: {sentences}", where=_where(path, text, [place for place, _ in faults]), fix=_FIX
    )


def _where(path: Path, text: str, places: list[Place]) -> str:
    """Return a file with the lines of some places in it."""
    lines = sorted({line for place in places if (line := line_of(text, place)) is not None})
    if not lines:
        return str(path)
    return f"{path}, line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
