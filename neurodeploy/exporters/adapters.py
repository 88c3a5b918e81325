"""Adapters of the training frameworks, and what is found with them: a model's neurons, their time step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neurodeploy.errors import DeployError, known
from neurodeploy.exporters.adapter import Adapter, Call, class_name

PACKAGES = ("snntorch", "norse", "sinabs", "spikingjelly", "rockpool")
"""The frameworks whose networks are exported, by the name of their package and of their dialect."""

INSTALLS = {
    "torch": "pip install 'neurodeploy[torch]'",
    "snntorch": "pip install 'neurodeploy[snntorch]'",
    **{name: f"pip install {name}" for name in PACKAGES if name != "snntorch"},
}
"""How to get each package."""


def load(name: str) -> Adapter:
    """Return the adapter of a framework; the framework is imported only when it is used."""
    match name:
        case "snntorch":
            from neurodeploy.exporters.snntorch_neurons import SnnTorch

            return SnnTorch()
        case "norse":
            from neurodeploy.exporters.norse_neurons import Norse

            return Norse()
        case "sinabs":
            from neurodeploy.exporters.sinabs_neurons import Sinabs

            return Sinabs()
        case "spikingjelly":
            from neurodeploy.exporters.spikingjelly_neurons import SpikingJelly

            return SpikingJelly()
        case "rockpool":
            from neurodeploy.exporters.rockpool_neurons import Rockpool

            return Rockpool()
        case _:
            raise ValueError(f"no adapter is called {name!r}, known are {PACKAGES}")


def adapter_of(model: Any) -> Adapter:
    """Return the adapter of the framework that a model's neurons come from; that of torch where it has none.

    Raises:
        DeployError: it has neurons of several frameworks.
    """
    adapters: dict[str, Adapter] = {}
    paths: dict[str, str] = {}
    for path, module in model.named_modules():
        for package in _packages(module):
            adapter = adapters.get(package) or load(package)
            adapters[package] = adapter
            if adapter.is_neuron(module):
                paths.setdefault(package, path or type(module).__name__)
    if not paths:
        from neurodeploy.exporters.plain import Plain

        return Plain()
    if len(paths) > 1:
        each = " and ".join(f"{path} of {package}" for package, path in paths.items())
        raise DeployError(
            f"the model mixes neurons of several frameworks: {each}",
            where="the model's neurons",
            fix="Use neurons of one framework only; each framework has its own time step and reset rule.",
        )
    return adapters[next(iter(paths))]


def neurons_of(model: Any, adapter: Adapter) -> dict[str, Any]:
    """Return the neurons of a model that are exported, by module path.

    Raises:
        DeployError: one is of a kind that is not exported, or has an option that would be lost.
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    advice: list[str | None] = []
    whole = [module for module in model.modules() if adapter.kind_of(module) is not None]
    parts = {id(part) for module in whole for part in adapter.parts(module)}
    for path, module in model.named_modules():
        if id(module) in parts:
            continue
        if adapter.kind_of(module) is not None:
            found[path or type(module).__name__.lower()] = module
            problems += (own := [f"{path}: {class_name(module)} {problem}" for problem in adapter.problems(module)])
            advice += [None] * len(own)
        elif adapter.is_neuron(module):
            problems.append(f"{path}: {class_name(module)} is not supported{_advice(module, adapter)}")
            advice.append(adapter.encoders.get(class_name(module)))
    if problems:
        others = f"Use {known(adapter.kinds)} as {adapter.label} has them, with plain spikes."
        fixes = dict.fromkeys(others if fix is None else fix for fix in advice)
        raise DeployError("; ".join(problems), where="the model's neurons", fix=" ".join(fixes))
    return found


def _advice(module: Any, adapter: Adapter) -> str:
    """Return what to take instead of a neuron that is not exported; the longest name that fits decides."""
    names = [cls.__name__ for cls in type(module).__mro__]
    fitting = [start for start in adapter.advice if any(name.startswith(start) for name in names)]
    if fitting:
        return f" ({adapter.advice[max(fitting, key=len)]})"
    mine = next((name for name in names[1:] if name in adapter.kinds), None)
    return f" (it is a {mine} with a forward of its own)" if mine else ""


def state_keys(model: Any) -> set[str]:
    """Return the keys of a model's state dict that hold what its neurons last did, and are no trained weights."""
    keys = set()
    for path, module in model.named_modules():
        for package in _packages(module):
            adapter = load(package)
            if adapter.is_neuron(module):
                keys |= {f"{path}.{name}".removeprefix(".") for name in adapter.states}
    return keys


def time_step(adapter: Adapter, neurons: dict[str, Any], dt: float | None) -> tuple[float, list[str]]:
    """Return the seconds per step, and findings: the neurons' own if they have one, else what is asked for.

    Args:
        adapter: of the framework. neurons: modules by path. dt: seconds that are asked for, or None.

    Raises:
        DeployError: the neurons differ.
    """
    own = {value: name for name, module in neurons.items() if (value := adapter.own_dt(module)) is not None}
    if len(own) > 1:
        each = ", ".join(f"{name} {value:g} s" for value, name in own.items())
        raise DeployError(
            f"the neurons have different time steps: {each}",
            where="the model's neurons",
            fix="Give all neurons the same dt.",
        )
    if not own:
        return adapter.dt if dt is None else dt, []
    (value,) = own
    return value, [f"dt: {value:g} s, as the model's neurons have it"]


def clear_states(adapter: Adapter, neurons: dict[str, Any], n_samples: int) -> None:
    """Make all neurons forget their states, so that the next call starts afresh.

    Args:
        adapter: of the framework. neurons: modules by path. n_samples: B of the next call.
    """
    for module in neurons.values():
        adapter.clear(module, n_samples)


@contextmanager
def watch(adapter: Adapter, neurons: dict[str, Any]) -> Iterator[dict[str, list[Call]]]:
    """Collect every call of the neurons while the block runs."""
    calls: dict[str, list[Call]] = {name: [] for name in neurons}

    def collect(name: str) -> Any:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            calls[name].append(adapter.call(module, args, kwargs, output))

        return hook

    handles = [module.register_forward_hook(collect(name), with_kwargs=True) for name, module in neurons.items()]
    for module in neurons.values():
        adapter.start_recording(module)
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
        for module in neurons.values():
            adapter.stop_recording(module)


def _packages(module: Any) -> list[str]:
    """Return the known frameworks that a module's class, or one it derives from, belongs to."""
    found = {cls.__module__.partition(".")[0] for cls in type(module).__mro__}
    return [package for package in PACKAGES if package in found]
