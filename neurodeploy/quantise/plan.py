"""The plan: what quantisation decided for each population and projection, as a YAML file that people edit.

A plan is complete where ``compile`` wrote it; one that is given to ``compile`` may leave anything out, and what it
leaves out is decided anew. Where an array has one value throughout, the file has that value alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neurodeploy.errors import DeployError, known
from neurodeploy.files import existing_file, write_text
from neurodeploy.network import Network

ScaleMethod = Literal["range", "percentile", "mse", "rate"]
RoundingMethod = Literal["nearest", "learned"]
Bits = Literal[1, 2, 3, 4, 5, 6, 7, 8, "binary", "ternary"]
Code = int | list[int]

HEADER = """\
# How a network was quantised. Edit it and give it back: neurodeploy compile ... --plan THIS.yaml
# codes_per_volt: weight codes, times 2**exponent, that stand for 1 V; a number, or one for each output channel.
# threshold, leak_u, leak_v, bias: codes; a number for all neurons, or a list. What is left out is decided anew.
"""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BiasPlan(_Part):
    """``mantissa << exponent`` is added to v in each step."""

    mantissa: Code
    exponent: Annotated[int, Field(ge=0)]


class PopulationPlan(_Part):
    """Decisions for a population; None is decided anew."""

    scale: ScaleMethod | None = None
    per_channel: bool | None = None
    codes_per_volt: float | list[float] | None = None
    threshold: Code | None = None
    leak_u: Code | None = None
    leak_v: Code | None = None
    bias: BiasPlan | None = None


class ProjectionPlan(_Part):
    """Decisions for a projection; None is decided anew.

    learned: base64 of steps, int8 in the weights' order, that learned rounding adds to the nearest code.
    """

    bits: Bits | None = None
    exponent: Annotated[int, Field(ge=0)] | None = None
    rounding: RoundingMethod | None = None
    learned: str | None = None


class Plan(_Part):
    """Decisions by name of population, and by name of projection as :func:`projection_names` gives it."""

    version: Literal[1] = 1
    target: str | None = None
    populations: dict[str, PopulationPlan] = Field(default_factory=dict)
    projections: dict[str, ProjectionPlan] = Field(default_factory=dict)

    def digest(self) -> str:
        """Return a hash of all decisions."""
        return hashlib.sha256(to_yaml(self).encode()).hexdigest()


def projection_names(network: Network) -> tuple[str, ...]:
    """Return each projection's name in plans: ``source -> target``, numbered where two have the same ends."""
    names: list[str] = []
    for projection in network.projections:
        same = sum(name.split(" #")[0] == projection.name for name in names)
        names.append(f"{projection.name} #{same + 1}" if same else projection.name)
    return tuple(names)


def to_yaml(plan: Plan) -> str:
    """Return the plan as text; the same plan gives the same text."""
    content = plan.model_dump(exclude_none=True)
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan file.

    Raises:
        DeployError: the file cannot be written.
    """
    write_text(path, to_yaml(plan))


def load_plan(path: Path | str) -> Plan:
    """Read a plan file.

    Raises:
        DeployError: it is no YAML, or has unknown keys or values of the wrong kind, each with its line.
    """
    path = existing_file(path, "a plan")
    text = path.read_text(errors="replace")
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise DeployError(
            f"the plan is no readable YAML ({getattr(error, 'problem', None) or type(error).__name__})",
            where=f"{path}{line}",
            fix="Compare it with a plan that compile wrote.",
        ) from error
    try:
        return Plan.model_validate(content if content is not None else {})
    except ValidationError as error:
        faults = [f"line {_line(tree, f['loc'])}: {'.'.join(_keys(f['loc']))}: {f['msg']}" for f in error.errors()]
        raise DeployError(
            "the plan has values that it cannot have: " + "; ".join(dict.fromkeys(faults)),
            where=str(path),
            fix=f"Keys of a population: {known(PopulationPlan.model_fields)}; of a projection:"
            f" {known(ProjectionPlan.model_fields)}.",
        ) from error


def check_names(plan: Plan, network: Network, target: str, where: str = "--plan") -> None:
    """Refuse a plan for another target, or with names that the network does not have.

    Raises:
        DeployError: it names all that is unknown.
    """
    if plan.target not in (None, target):
        raise DeployError(
            f"the plan is for target {plan.target!r}, not for {target!r}",
            where=where,
            fix="Choose that target, or remove the line; codes are checked against the target's ranges.",
        )
    populations = [population.name for population in network.populations]
    for kind, given, names in (
        ("population", plan.populations, populations),
        ("projection", plan.projections, projection_names(network)),
    ):
        if unknown := set(given) - set(names):
            raise DeployError(
                f"the plan has {kind}s that the model does not have: {known(unknown)}",
                where=where,
                fix=f"The model's {kind}s are {known(names)}.",
            )


def compact(values: NDArray[Any]) -> Any:
    """Return an array as a plan has it: one number where all are equal, else a list."""
    flat = np.asarray(values).ravel()
    return flat[0].item() if flat.size and (flat == flat[0]).all() else flat.tolist()


def spread(values: Any, size: int, where: str) -> NDArray[Any]:
    """Return a plan's number or list as an array (size,).

    Raises:
        DeployError: the list is of another length.
    """
    array = np.asarray(values)
    if array.ndim and array.size != size:
        raise DeployError(f"{array.size} values for {size}", where=where, fix="Give one number, or one for each.")
    return np.broadcast_to(array, size)


def pack_steps(steps: NDArray[np.int8]) -> str:
    """Return steps of learned rounding as text."""
    return base64.b64encode(np.ascontiguousarray(steps, np.int8).tobytes()).decode()


def unpack_steps(text: str, size: int, where: str) -> NDArray[np.int8]:
    """Return steps of learned rounding.

    Raises:
        DeployError: it is no text of so many steps.
    """
    try:
        steps = np.frombuffer(base64.b64decode(text, validate=True), np.int8)
    except ValueError:
        steps = np.zeros(0, np.int8)
    if steps.size != size:
        raise DeployError(
            f"learned rounding of {steps.size} weights for {size}",
            where=where,
            fix="Remove the key learned, or compile again with --calibrate.",
        )
    return steps


class _Dumper(yaml.SafeDumper):
    """Writes lists of numbers within a line or two, and everything else as a block."""


def _represent_list(dumper: _Dumper, values: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


_Dumper.add_representer(list, _represent_list)


def _keys(location: Iterable[int | str]) -> list[str]:
    """Return the keys of a place in the file; pydantic also names the alternatives that it tried."""
    return [str(key) for key in location if not str(key).startswith(("literal[", "list[", "int", "float", "function"))]


def _line(node: yaml.Node | None, location: Iterable[int | str]) -> int:
    """Return the line of a place in the file, or of what is nearest to it."""
    line = node.start_mark.line + 1 if node else 1
    for key in location:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if str(pair[0].value) == str(key)), None)
            if found is not None:
                line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line
