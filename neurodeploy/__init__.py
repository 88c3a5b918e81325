"""From a trained spiking network to a neuromorphic chip, with every loss accounted for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurodeploy.version import __version__

if TYPE_CHECKING:
    from neurodeploy.backends.run import run
    from neurodeploy.coding.data import Data
    from neurodeploy.coding.data_file import DataFile, load_data
    from neurodeploy.comparison.compare import Comparison, compare
    from neurodeploy.comparison.measures import diff
    from neurodeploy.comparison.side_by_side import SideBySide, compare_targets
    from neurodeploy.compiler import compile
    from neurodeploy.errors import BackendError, DeployError
    from neurodeploy.exporters.export import export
    from neurodeploy.families.program_file import load_program, save_program
    from neurodeploy.families.target_file import load_target
    from neurodeploy.finetuning.finetune import finetune
    from neurodeploy.importers.lower import read_network
    from neurodeploy.inspection import inspect
    from neurodeploy.ir.decision import Decision
    from neurodeploy.ir.network import Network, Population, Projection
    from neurodeploy.ir.program import Program
    from neurodeploy.ir.recording import Recording, RecordingFile, load_recording, save_recording
    from neurodeploy.ir.rule import NeuronRule
    from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Sparse
    from neurodeploy.report.html import write_report
    from neurodeploy.targets.target import Target

_HOMES = {
    "BackendError": "errors",
    "Comparison": "comparison.compare",
    "Conv1d": "ir.synapses",
    "Conv2d": "ir.synapses",
    "Data": "coding.data",
    "DataFile": "coding.data_file",
    "Decision": "ir.decision",
    "DeployError": "errors",
    "Flatten": "ir.synapses",
    "Linear": "ir.synapses",
    "MaxPool2d": "ir.synapses",
    "Network": "ir.network",
    "NeuronRule": "ir.rule",
    "Pool2d": "ir.synapses",
    "Population": "ir.network",
    "Program": "ir.program",
    "Projection": "ir.network",
    "Recording": "ir.recording",
    "RecordingFile": "ir.recording",
    "Scale": "ir.synapses",
    "SideBySide": "comparison.side_by_side",
    "Sparse": "ir.synapses",
    "Target": "targets.target",
    "compare": "comparison.compare",
    "compare_targets": "comparison.side_by_side",
    "compile": "compiler",
    "diff": "comparison.measures",
    "export": "exporters.export",
    "finetune": "finetuning.finetune",
    "inspect": "inspection",
    "load_data": "coding.data_file",
    "load_program": "families.program_file",
    "load_recording": "ir.recording",
    "load_target": "families.target_file",
    "read_network": "importers.lower",
    "run": "backends.run",
    "save_program": "families.program_file",
    "save_recording": "ir.recording",
    "write_report": "report.html",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, so that editors and notebooks show them before they are used."""
    return sorted(__all__)
