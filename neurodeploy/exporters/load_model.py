"""Build the module that ``file.py:factory`` names: find the factory, call it, and load the trained weights."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from neurodeploy.errors import DeployError, known
from neurodeploy.exporters.adapters import INSTALLS
from neurodeploy.exporters.weights import load_weights
from neurodeploy.files import existing_file


def load_model(spec: str, weights: Path | None) -> tuple[Any, tuple[str, ...]]:
    """Return the trained module that ``spec`` names, in eval mode, float32, on the CPU.

    Args:
        spec: ``file.py:factory`` or ``package.module:factory``, with arguments as in ``net.py:build(hidden=256)``; the
            factory returns a ``torch.nn.Module``.
        weights: a file that ``torch.save(model.state_dict(), ...)`` made, or None to keep what the factory set.

    Returns:
        The module, and findings.

    Raises:
        DeployError: torch is missing, there is no such file, module or factory, the factory fails or returns something
            else, or the weights do not fit or are not finite.
    """
    require_framework()
    import torch

    source, name, arguments = _split(spec)
    found = _member(_import_source(source, spec), name, spec)
    model = found if isinstance(found, torch.nn.Module) else _call(found, spec, arguments)
    _check_lists(model, spec)
    if weights is None:
        findings = ["weights: none given, the model is exported as the factory made it"]
    else:
        findings = load_weights(model, Path(weights))
    _check_finite(model, spec if weights is None else str(weights))
    other = sorted(
        {str(p.dtype) for p in torch.nn.Module.parameters(model) if p.is_floating_point() and p.dtype != torch.float32}
    )
    if other:
        findings.append(
            f"precision: parameters of {', '.join(other)} were rounded to torch.float32; so runs the recording"
        )
    return torch.nn.Module.to(model, device="cpu", dtype=torch.float32).eval(), tuple(findings)


def require_framework() -> None:
    """Refuse if torch is missing.

    Raises:
        DeployError: it is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise DeployError("torch is not installed", where="this Python environment", fix=_install("torch"))


def _install(package: str) -> str:
    return f"Install it: {INSTALLS[package]}."


def _split(spec: str) -> tuple[str, str, dict[str, Any]]:
    """Return the file or module, the factory's name, and its arguments."""
    head, parenthesis, rest = spec.partition("(")
    source, colon, name = head.rpartition(":")
    if not colon or not source or not name.isidentifier():
        raise DeployError(
            f"{spec!r} does not name a factory",
            where="SPEC",
            fix="Write file.py:factory or package.module:factory, such as net.py:build or net.py:build(hidden=256).",
        )
    return source, name, _arguments(f"f({rest}", spec) if parenthesis else {}


def _arguments(call: str, spec: str) -> dict[str, Any]:
    """Return the keyword arguments of a call whose values are plain literals."""
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or node.args or any(one.arg is None for one in node.keywords):
            raise ValueError("arguments have names")
        return {str(one.arg): ast.literal_eval(one.value) for one in node.keywords}
    except (ValueError, SyntaxError) as error:
        raise DeployError(
            f"{spec!r} has arguments that cannot be read ({error})",
            where="SPEC",
            fix="Give them by name, as numbers, texts, lists or dicts, in quotes for the shell:"
            " 'net.py:build(hidden=256, neuron=\"lif\")'.",
        ) from error


def _import_source(source: str, spec: str) -> ModuleType:
    """Import the file or module; the folder of a file, or the current one, is on the path meanwhile."""
    is_file = source.endswith(".py") or "/" in source or "\\" in source
    path = existing_file(source, "a Python file with the model").resolve() if is_file else None
    try:
        with _on_path(path.parent if path else Path.cwd()):
            return _run_file(path) if path else importlib.import_module(source)
    except ModuleNotFoundError as error:
        if not is_file and source.split(".", maxsplit=1)[0] == error.name:
            raise DeployError(
                f"no module is called {source!r}",
                where=spec,
                fix="Run in a folder or environment from which it can be imported, or write file.py:factory.",
            ) from error
        package = str(error.name).partition(".")[0]
        elsewhere = f"Install {error.name} in the environment that runs neurodeploy."
        fix = _install(package) if package in INSTALLS else elsewhere
        raise DeployError(f"the module needs {error.name}, which cannot be imported", where=source, fix=fix) from error
    except (Exception, SystemExit) as error:
        raise DeployError(
            f"the module fails while it is imported: {_brief(error)}",
            where=source,
            fix="Mend the module so that importing it works and starts nothing, such as a training.",
        ) from error


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Put a folder on the import path, and hide our own command line from what is imported."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.argv = arguments
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _run_file(path: Path) -> ModuleType:
    name = f"_neurodeploy_model_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _member(module: ModuleType, name: str, spec: str) -> Any:
    if not hasattr(module, name):
        own = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        ]
        raise DeployError(
            f"the module defines no {name!r}", where=spec, fix=f"Choose from what it defines: {known(own)}."
        )
    return getattr(module, name)


def _call(factory: Any, spec: str, arguments: dict[str, Any]) -> Any:
    import torch

    if not callable(factory):
        raise DeployError(
            f"it is a {type(factory).__name__}, not a factory",
            where=spec,
            fix="Name a function or class that returns the model.",
        )
    try:
        model = factory(**arguments)
    except (Exception, SystemExit) as error:
        raise DeployError(
            f"the factory fails: {_brief(error)}",
            where=spec,
            fix="Mend the factory, or give the arguments that it needs in SPEC, such as 'net.py:build(hidden=256)'.",
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise DeployError(
            f"the factory returns a {type(model).__name__}, not a model",
            where=spec,
            fix="Let it return a torch.nn.Module.",
        )
    return model


def _check_lists(model: Any, where: str) -> None:
    """Refuse modules that hold others in plain lists or dicts alone, where torch does not see them."""
    import torch

    seen = {id(module) for _, module in torch.nn.Module.named_modules(model)}
    for path, module in torch.nn.Module.named_modules(model):
        for name, value in vars(module).items():
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            if not name.startswith("_") and any(isinstance(p, torch.nn.Module) and id(p) not in seen for p in parts):
                kind = "ModuleDict" if isinstance(value, dict) else "ModuleList"
                place = f"{path}.{name}".removeprefix(".")
                raise DeployError(
                    f"{place} is a Python {type(value).__name__} of modules, which torch does not register:"
                    " these modules are neither saved, nor loaded, nor exported",
                    where=where,
                    fix=f"Write self.{name} = nn.{kind}(...), and train again; the optimiser did not see these"
                    " modules either.",
                )


def _check_finite(model: Any, where: str) -> None:
    wrong = {name: ~value.isfinite() for name, value in model.state_dict().items()}
    for name, value in model.state_dict().items():
        if name.endswith("threshold"):  # an infinite one stands for neurons that do not fire
            wrong[name] &= ~value.isposinf()
    bad = [name for name, is_wrong in wrong.items() if bool(is_wrong.any())]
    if bad:
        raise DeployError(
            f"the model's {', '.join(bad)} hold NaN or infinite values",
            where=where,
            fix="Train again; with such values a network computes nothing of use.",
        )


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
