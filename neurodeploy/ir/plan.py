"""The plan: what quantisation decided for each population and projection, as a YAML file that people edit.

A plan is complete where ``compile`` wrote it; one that is given to ``compile`` may leave anything out, and what it
leaves out is decided anew. Where an array has one value throughout, the file has that value alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from neurodeploy.budget import MAX_PLAN_VALUES
from neurodeploy.errors import DeployError, known
from neurodeploy.files import read_text, write_text
from neurodeploy.ir.network import Network, Population
from neurodeploy.ir.synapses import Shape

ScaleMethod = Literal["range", "percentile", "mse", "rate"]
RoundingMethod = Literal["nearest", "learned"]
Bits = Literal[1, 2, 3, 4, 5, 6, 7, 8, "binary", "ternary"]
Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Code = Whole | list[Whole]

# Those of libyaml are ten times as fast, and large networks have plans of many numbers.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

FAULTS_SHOWN = 20

HEADER = """\
# How a network was quantised. Edit it and give it back: neurodeploy compile ... --plan THIS.yaml
# codes_per_volt: weight codes, times 2**exponent, that stand for 1 V; channel_gain times as many for a channel.
# threshold, leak_u, leak_v, bias: codes; a number for all neurons, or a list by channel or by neuron.
# What is left out is decided anew.
"""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BiasPlan(_Part):
    """``mantissa << exponent`` is added to v in each step."""

    mantissa: Code
    exponent: Annotated[Whole, Field(ge=0)]


class PopulationPlan(_Part):
    """Decisions for a population; None is decided anew."""

    scale: ScaleMethod | None = None
    codes_per_volt: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    channel_gain: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    threshold: Code | None = None
    leak_u: Code | None = None
    leak_v: Code | None = None
    bias: BiasPlan | None = None


class ProjectionPlan(_Part):
    """Decisions for a projection; None is decided anew.

    learned: bits, a colon and base64 of steps, int16 in the weights' order, that learned rounding adds to the nearest
        code.
    """

    bits: Bits | None = None
    exponent: Annotated[Whole, Field(ge=0)] | None = None
    rounding: RoundingMethod | None = None
    learned: str | None = None


class InputPlan(_Part):
    """The messages of a graded input: ``rint(x * scale)`` in messages of so many bits, with the sign.

    rate: share of values other than 0 in the data that the plan was calibrated on.
    """

    message_bits: Annotated[Whole, Field(ge=2)] | None = None
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    rate: Annotated[float, Field(ge=0, le=1)] | None = None


class Plan(_Part):
    """Decisions by name of input and population, and of projection as :func:`projection_names` gives it."""

    version: Literal[1] = 1
    target: str | None = None
    inputs: dict[str, InputPlan] = Field(default_factory=dict)
    populations: dict[str, PopulationPlan] = Field(default_factory=dict)
    projections: dict[str, ProjectionPlan] = Field(default_factory=dict)
    _file: str = PrivateAttr("the plan")
    _tree: Any = PrivateAttr(None)

    def place(self, *keys: int | str) -> str:
        """Return where a value stands: file and line."""
        return self._file if self._tree is None else f"{self._file}, line {_line(self._tree, keys)}"

    def digest(self) -> str:
        """Return a hash of all decisions."""
        return hashlib.sha256(self.model_dump_json(exclude_none=True).encode()).hexdigest()


def projection_names(network: Network) -> tuple[str, ...]:
    """Return each projection's name in plans: ``source -> target``, numbered where two have the same ends."""
    names: list[str] = []
    met: Counter[str] = Counter()
    for projection in network.projections:
        met[projection.name] += 1
        names.append(projection.name if met[projection.name] == 1 else f"{projection.name} #{met[projection.name]}")
    return tuple(names)


def to_yaml(plan: Plan) -> str:
    """Return the plan as text; the same plan gives the same text."""
    content = plan.model_dump(exclude_none=True)
    if not content["inputs"]:
        del content["inputs"]
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=110)


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
    text = read_text(path, "a plan")
    MAX_PLAN_VALUES.check(text.count(",") + text.count("\n"), "the plan", str(path))
    try:
        tree, content = _parsed(text)
    except Exception as error:  # whatever a broken text or value raises, it is no readable plan
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise DeployError(
            f"the plan is not readable YAML ({getattr(error, 'problem', None) or type(error).__name__})",
            where=f"{path}{line}",
            fix="Compare the file with a plan that compile wrote.",
        ) from error
    try:
        plan = Plan.model_validate(content if content is not None else {})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        faults = [
            f"line {_line(tree, f['loc'])}: {'.'.join(_keys(f['loc']))}: {f['msg']}" for f in found[:FAULTS_SHOWN]
        ]
        more = f"; and {len(found) - FAULTS_SHOWN} more" if len(found) > FAULTS_SHOWN else ""
        raise DeployError(
            "the plan has keys or values that are not allowed: " + "; ".join(dict.fromkeys(faults)) + more,
            where=str(path),
            fix=f"Use only these keys, for a population: {known(PopulationPlan.model_fields)}; for a projection:"
            f" {known(ProjectionPlan.model_fields)}; for an input: {known(InputPlan.model_fields)}.",
        ) from error
    plan._file, plan._tree = str(path), tree
    return plan


def check_plan(
    plan: Plan, network: Network, target: str, formats: dict[str, int], has_gains_by_neuron: bool = False
) -> None:
    """Refuse a plan for another target, with names that the network does not have, or codes that no register holds.

    Args:
        plan: the plan.
        network: the network that is compiled.
        target: name of the target.
        formats: the target's number formats, by key, as :meth:`Target.formats` returns them.
        has_gains_by_neuron: whether ``channel_gain`` may have a number for each neuron, beside one for each channel.

    Raises:
        DeployError: it names all that is wrong, with its line.
    """
    faults = []
    if plan.target not in (None, target):
        faults.append(f"{plan.place('target')}: the plan is for target {plan.target!r}, not for {target!r}")
    sizes = {population.name: population for population in network.populations}
    names = projection_names(network)
    for key, given, known_names in (
        ("inputs", plan.inputs, list(network.inputs)),
        ("populations", plan.populations, list(sizes)),
        ("projections", plan.projections, list(names)),
    ):
        for name in given:
            if name not in known_names:
                faults.append(
                    f"{plan.place(key, name)}: {name!r} is not one of the model's {key}, which are {known(known_names)}"
                )
    for name, own in plan.populations.items():
        if name in sizes:
            faults += _population_faults(plan, name, own, sizes[name], formats)
            faults += _gain_faults(plan, name, own, sizes[name], has_gains_by_neuron)
    for name, sent in plan.inputs.items():
        faults += _input_faults(plan, name, sent, formats)
    for name, projection in plan.projections.items():
        faults += _projection_faults(plan, name, projection, formats)
    if faults:
        raise DeployError(
            "the plan does not fit: " + "; ".join(faults), where="--plan", fix="Change these lines, or remove them."
        )


def _input_faults(plan: Plan, name: str, own: InputPlan, formats: dict[str, int]) -> list[str]:
    most = formats["message_bits_max"]
    if (own.message_bits or 0) <= most:
        return []
    return [
        f"{plan.place('inputs', name, 'message_bits')}: message_bits is {own.message_bits}, but the target has 0 to"
        f" {most}"
    ]


def _projection_faults(plan: Plan, name: str, own: ProjectionPlan, formats: dict[str, int]) -> list[str]:
    found, most = [], formats["weight_exponent_max"]
    if own.learned is not None and own.rounding == "nearest":
        found.append(
            f"{plan.place('projections', name, 'rounding')}: rounding is nearest, but the plan holds learned steps, too"
        )
    if own.exponent is not None and own.exponent > most:
        place = plan.place("projections", name, "exponent")
        found.append(f"{place}: exponent is {own.exponent}, but the target has 0 to {most}")
    return found


def _population_faults(
    plan: Plan, name: str, own: PopulationPlan, population: Population, formats: dict[str, int]
) -> list[str]:
    shape = population.shape
    spoken = [key for key in ("channel_gain", "threshold") if getattr(own, key) is not None]
    if spoken and not population.rule.fires:
        return [f"{plan.place('populations', name, spoken[0])}: {name!r} does not fire, so it has no {spoken[0]}"]
    decay = 2 ** formats["decay_bits"] - 1
    ranges: dict[str, tuple[Any, int, int]] = {
        "threshold": (own.threshold, 0, 2 ** formats["threshold_bits"] - 1),
        "leak_u": (own.leak_u, 0, decay),
        "leak_v": (own.leak_v, 0, decay),
    }
    if own.bias is not None:
        most = formats["bias_mantissa_max"]
        ranges["bias"] = (own.bias.mantissa, -most, most)
        if own.bias.exponent > formats["bias_exponent_max"]:
            place = plan.place("populations", name, "bias", "exponent")
            return [
                f"{place}: the bias exponent is {own.bias.exponent}, but the target has 0 to"
                f" {formats['bias_exponent_max']}"
            ]
    found = []
    for key, (values, low, high) in ranges.items():
        if values is None:
            continue
        array = np.asarray(values)
        place = plan.place("populations", name, key)
        if array.ndim and array.size not in (prod(shape), shape[0] if shape else 1):
            found.append(f"{place}: there are {array.size} values for {prod(shape)} neurons")
        if array.size and (array.min() < low or array.max() > high):
            found.append(f"{place}: {key} is {array.min()} to {array.max()}, but the target has {low} to {high}")
    return found


def _gain_faults(
    plan: Plan, name: str, own: PopulationPlan, population: Population, has_gains_by_neuron: bool
) -> list[str]:
    if own.channel_gain is None or not population.rule.fires:
        return []
    n_channels, given = population.shape[0] if population.shape else 1, len(own.channel_gain)
    if given in (1, n_channels) or (has_gains_by_neuron and given == population.size):
        return []
    place = plan.place("populations", name, "channel_gain")
    return [f"{place}: there are {given} gains for {n_channels} channels"]


def compact(values: NDArray[Any], shape: Shape) -> Any:
    """Return an array as a plan has it: one number where all are equal, else a list by channel or by neuron."""
    flat = np.asarray(values).ravel()
    if flat.size and (flat == flat[0]).all():
        return flat[0].item()
    channels = flat.reshape(shape[0], -1)
    if (channels == channels[:, :1]).all():
        return channels[:, 0].tolist()
    return flat.tolist()


def spread(values: Any, shape: Shape) -> NDArray[Any]:
    """Return a plan's number or list as an array (n,)."""
    array = np.asarray(values)
    n = prod(shape)
    if array.size in (1, n):
        return np.broadcast_to(array.ravel(), n)
    return np.repeat(array, n // array.size)


def pack_steps(steps: NDArray[np.int16], bits: int | str) -> str:
    """Return steps of learned rounding as text, with the bits that they are steps of."""
    return f"{bits}:{base64.b64encode(np.ascontiguousarray(steps, '<i2').tobytes()).decode()}"


def unpack_steps(text: str, size: int, bits: int | str, where: str) -> NDArray[np.int16]:
    """Return steps of learned rounding.

    Args:
        text: the plan's ``learned``: the bits, a colon, and the steps in base64.
        size: weights of the projection.
        bits: of the projection's weights, as the plan says them.
        where: the projection, for the message.

    Raises:
        DeployError: it is no text of so many steps, or they are steps of other bits.
    """
    of_bits, _, encoded = text.partition(":")
    try:
        steps = np.frombuffer(base64.b64decode(encoded, validate=True), "<i2")
    except ValueError:
        steps = np.zeros(0, np.int16)
    if steps.size != size or of_bits != str(bits):
        raise DeployError(
            f"the plan holds learned rounding of {steps.size} weights of {of_bits[:8]} bits, but the projection has"
            f" {size} weights of {bits} bits",
            where=where,
            fix="Remove the key learned, or compile again with --calibrate.",
        )
    return steps


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """Return a YAML text's nodes, and what they say."""
    loader = _LOADER(text)
    try:
        tree = loader.get_single_node()
        _refuse_repeats(tree, set())
        return tree, None if tree is None else loader.construct_document(tree)
    finally:
        loader.dispose()


def _refuse_repeats(node: yaml.Node | None, met: set[int]) -> None:
    """Refuse keys that a mapping has twice, of which YAML would take the last, and aliases of lists and mappings.

    Args:
        node: where to look.
        met: lists and mappings met before.

    Raises:
        yaml.MarkedYAMLError: with the place of the second.
    """
    if not isinstance(node, yaml.CollectionNode):
        return
    if id(node) in met:
        raise yaml.MarkedYAMLError(
            problem="an alias stands for a list or a mapping, which a plan does not allow", problem_mark=node.start_mark
        )
    met.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeats(value, met)
        return
    seen: set[Any] = set()
    for key, value in node.value:
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} appears twice", problem_mark=key.start_mark)
        seen.add(key.value)
        _refuse_repeats(value, met)


class _Dumper(_DUMPER):  # type: ignore[misc, valid-type]
    """Writes lists of numbers within a line or two, and everything else as a block."""


def _represent_list(dumper: _Dumper, values: list[Any]) -> yaml.Node:
    node: yaml.Node = dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)
    return node


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
