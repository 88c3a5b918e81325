"""Load trained weights into a model, from the files that people have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurodeploy.errors import DeployError, first_line, known
from neurodeploy.exporters.adapters import state_keys
from neurodeploy.files import existing_file, read_tensors

ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Where checkpoints keep the weights, beside the optimiser's state and the like."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers put in front of all keys: DataParallel, torch.compile, Lightning modules."""


def load_weights(model: Any, path: Path) -> list[str]:
    """Load a state dict, or a checkpoint that holds one, into a model; returns findings.

    Args:
        model: changed in place.
        path: of a file that ``torch.save`` wrote.

    Raises:
        DeployError: it cannot be opened without running code, holds no weights, or they do not fit the model.
    """
    content = _opened(existing_file(path, "a file with the weights"))
    state, findings = _state_dict(content, path), [f"weights: {path.name}"]
    if state is not content:
        entry = next(key for key in ENTRIES if content.get(key) is state)
        findings.append(f"weights: {entry!r} of the checkpoint was loaded")
    own, passing = model.state_dict(), state_keys(model)
    state, prefix = _without_prefix(state, set(own))
    if prefix:
        findings.append(f"weights: {prefix!r} in front of every key was taken off")
    state = {key: value for key, value in state.items() if key not in passing}
    state |= {key: value for key, value in own.items() if key in passing}
    if problems := _mismatches(own, state):
        raise DeployError(
            f"the weights do not fit the model: {'; '.join(problems)}",
            where=str(path),
            fix="Give the weights of this model, or the factory with which these weights were trained.",
        )
    model.load_state_dict(state)
    return findings


def _opened(path: Path) -> Any:
    try:
        return read_tensors(path)
    except DeployError:
        raise
    except Exception as error:  # whatever a broken file raises, it holds no weights
        what = str(error)
        if _is_script(path):
            raise DeployError(
                "the file is a TorchScript archive, which holds code that would be run",
                where=str(path),
                fix="Save the weights alone: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt').",
            ) from error
        if "Unsupported" in what or "weights_only" in what:
            raise DeployError(
                "the file holds pickled objects beside tensors, such as a whole model, and opening them would run"
                " their code",
                where=str(path),
                fix="Save the weights alone, where you trust the file: torch.save(model.state_dict(), 'weights.pt').",
            ) from error
        raise DeployError(
            f"the weights cannot be read: {type(error).__name__}: {first_line(error)}",
            where=str(path),
            fix="Save them with torch.save(model.state_dict(), ...).",
        ) from error


def _is_script(path: Path) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except Exception:  # whatever a broken archive raises, it is none of TorchScript's
        return False


def _state_dict(content: Any, path: Path) -> dict[str, Any]:
    """Return the weights in what a file holds."""
    if _is_state(content):
        return dict(content) if not isinstance(content, dict) else content
    if isinstance(content, dict):
        for key in ENTRIES:
            if _is_state(content.get(key)):
                return content[key]  # type: ignore[no-any-return]
    said = f"a dict of {known(content)}" if isinstance(content, dict) else f"a {type(content).__name__}"
    raise DeployError(
        f"the file holds {said}, not a state dict",
        where=str(path),
        fix="Save it with torch.save(model.state_dict(), ...).",
    )


def _is_state(content: Any) -> bool:
    import torch

    return isinstance(content, dict) and bool(content) and all(isinstance(v, torch.Tensor) for v in content.values())


def _without_prefix(state: dict[str, Any], own: set[str]) -> tuple[dict[str, Any], str]:
    """Return weights without what a wrapper put in front of every key, and what that is."""
    prefix = ""
    while not own & set(state):
        found = next((p for p in PREFIXES if state and all(key.startswith(p) for key in state)), None)
        if found is None:
            break
        state = {key.removeprefix(found): value for key, value in state.items()}
        prefix += found
    return state, prefix


def _mismatches(wanted: dict[str, Any], given: dict[str, Any]) -> list[str]:
    problems = []
    if missing := wanted.keys() - given.keys():
        problems.append(f"the file lacks {known(missing)}")
    if surplus := given.keys() - wanted.keys():
        problems.append(f"the model lacks {known(surplus)}")
    for key in sorted(wanted.keys() & given.keys()):
        if wanted[key].shape != given[key].shape:
            problems.append(f"{key} is {list(given[key].shape)} in the file and {list(wanted[key].shape)} in the model")
    return problems
