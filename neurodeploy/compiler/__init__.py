"""From a network to a program for a chip."""

from neurodeploy.compiler.options import CompileOptions, check_options
from neurodeploy.compiler.pipeline import Compiled, compile, compile_network, compile_with_plan

__all__ = [
    "CompileOptions",
    "Compiled",
    "check_options",
    "compile",
    "compile_network",
    "compile_with_plan",
]
