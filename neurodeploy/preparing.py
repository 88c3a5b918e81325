"""Compile the kernels once for each installation, or load them from numba's cache, and say why that takes time."""

from __future__ import annotations

import logging
from typing import Any

from numba import typeof
from numba.core.event import Event, Listener, install_listener

_log = logging.getLogger(__name__)


def prepare(kernel: Any, arguments: tuple[Any, ...]) -> None:
    """Compile a kernel for its arguments, whose types never change, or load it from numba's cache; do not run it."""
    signature = tuple(typeof(argument) for argument in arguments)  # type: ignore[no-untyped-call]
    with install_listener("numba:compile", _Notice()):
        kernel.compile(signature)


class _Notice(Listener):
    """Says once that numba compiles; what is found in its cache starts no such event."""

    said = False

    def on_start(self, event: Event) -> None:
        """Take the start of a function; each that the kernel calls starts one of its own."""
        if not self.said:
            self.said = True
            _log.warning("compiling the emulator's loops, once after each installation: some 20 s")

    def on_end(self, event: Event) -> None:
        """Take the end of a function."""
