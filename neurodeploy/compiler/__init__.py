"""From a network to a program for a chip."""

from neurodeploy.compiler.pipeline import Compiled, compile, compile_network, compile_with_plan
from neurodeploy.families.options import CompileOptions

__all__ = [
    "CompileOptions",
    "Compiled",
    "compile",
    "compile_network",
    "compile_with_plan",
]
