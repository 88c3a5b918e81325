"""Make mutants: copies of a module with one small fault each.

The faults are those of mutmut: another operator, another number, another key, an argument left out, a value replaced by
None, a case of a match taken away. They are made inside functions. Left as they are: annotations, decorators, default
values, calls of ``len`` and ``isinstance``, ``strict=`` of ``zip`` (which only another fault could show), and wording,
which is any text with a space in it and all that is put into it. Keys and names have no space and are changed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

_LEFT_ALONE = (
    cst.Annotation, cst.Decorator, cst.Parameters,
    cst.BaseParenthesizableWhitespace, cst.TrailingWhitespace, cst.EmptyLine, cst.Comma, cst.LeftParen, cst.RightParen,
)  # fmt: skip
_CALLS_LEFT_ALONE = ("len", "isinstance")


@dataclass(eq=False)
class Mutant:
    """One fault: in ``module``, the text of ``path``, ``old`` becomes ``new``. Tests that run ``lines`` can see it."""

    name: str
    path: Path
    lines: range
    module: cst.Module
    old: cst.CSTNode
    new: cst.CSTNode

    @cached_property
    def source(self) -> str:
        """Return the text of the module with the fault."""
        changed = self.module.deep_replace(self.old, self.new)
        assert isinstance(changed, cst.Module)
        return changed.code

    def difference(self) -> tuple[str, str]:
        """Return the lines that differ as they were and as they are, each as one line."""
        told = list(difflib.ndiff(self.module.code.splitlines(), self.source.splitlines()))
        before, after = (" ".join(line[2:].strip() for line in told if line.startswith(mark)) for mark in "-+")
        return before, after


def make_mutants(path: Path, root: Path) -> Iterator[Mutant]:
    """Yield all mutants of one file, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
    places = wrapper.resolve(PositionProvider)
    counts: dict[int, int] = {}
    for old, new, lines in _faults(wrapper.module, places, None, False):
        counts[lines.start] = counts.get(lines.start, 0) + 1
        name = f"{path.relative_to(root / 'neurodeploy')}:{lines.start}:{counts[lines.start]}"
        yield Mutant(name, path, lines, wrapper.module, old, new)


def _faults(
    node: cst.CSTNode, places: Mapping[cst.CSTNode, CodeRange], lines: range | None, inside: bool
) -> Iterator[tuple[cst.CSTNode, cst.CSTNode, range]]:
    if isinstance(node, _LEFT_ALONE) or _is_wording(node) or _is_left_alone(node):
        return
    if isinstance(node, cst.BaseCompoundStatement | cst.BaseSuite | cst.Module):
        lines = None
    elif lines is None and node in places and isinstance(node, cst.SimpleStatementLine | cst.BaseExpression):
        lines = range(places[node].start.line, places[node].end.line + 1)
    if inside:
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                here = lines or range(places[node].start.line, places[node].start.line + 1)
                yield from ((node, new, here) for new in operator(node) if not _changes_wording(node, new))
    for child in node.children:
        yield from _faults(child, places, lines, inside or isinstance(node, cst.FunctionDef))


def _is_wording(node: cst.CSTNode) -> bool:
    match node:
        case cst.SimpleString():
            return " " in node.value
        case cst.FormattedString():
            return any(isinstance(part, cst.FormattedStringText) and " " in part.value for part in node.parts)
        case cst.ConcatenatedString() | cst.BinaryOperation():
            return _is_wording(node.left) or _is_wording(node.right)
        case cst.IfExp():
            return _is_wording(node.body) and _is_wording(node.orelse)
    return False


def _is_left_alone(node: cst.CSTNode) -> bool:
    match node:
        case cst.Call(func=cst.Name(value=name)):
            return name in _CALLS_LEFT_ALONE
        case cst.Arg(keyword=cst.Name(value="strict")):
            return True
    return False


def _changes_wording(old: cst.CSTNode, new: cst.CSTNode) -> bool:
    """Tell whether a fault takes away a text with a space, or ``strict=``."""
    match old, new:
        case cst.Call(), cst.Call():
            gone = [arg for arg in old.args if arg not in new.args]
            return any(_is_wording(arg.value) or _is_left_alone(arg) for arg in gone)
        case ((cst.Assign() | cst.AnnAssign()), _):
            return old.value is not None and _is_wording(old.value)
    return False
