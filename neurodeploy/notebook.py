"""The display of networks, programs, recordings and comparisons in a terminal and in a notebook."""

from __future__ import annotations

from html import escape
from typing import NamedTuple


class Summary(NamedTuple):
    """A summary to show: one line, and a table below it where there is room for one."""

    line: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()


class Summarised:
    """A class whose objects show a line of text, or a small table in a notebook, and never their arrays."""

    __slots__ = ()

    def summary(self) -> Summary:
        """Return what is shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary().line}>"

    def _repr_html_(self) -> str:
        line, header, rows = self.summary()
        cells = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
        head = "".join(f"<th>{escape(word)}</th>" for word in header)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        return f"<p><b>{type(self).__name__}</b>: {escape(line)}</p>{table}"
