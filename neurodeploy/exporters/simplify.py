"""Rewrite a draft until every node is one that NIR has: joins split, factors and offsets folded into weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.draft import INPUT, Draft, DraftNode, Slot, Source
from neurodeploy.exporters.layers import Joined, Maximum, Operation
from neurodeploy.exporters.signals import equal, reshaped
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, Pool2d, Scale, Shape

MOST_UNITS = 4096
"""An offset on so many units, behind which no layer lies, becomes a matrix at most."""


def simplify(draft: Draft, kept: set[str]) -> None:
    """Fold and split until no node is a join and no slot has a factor or an offset.

    Args:
        draft: changed in place. kept: nodes that are read from outside, whose values stay as they are.
    """
    _prune(draft, kept)
    for name in reversed(list(draft.nodes)):
        _pull_delay(draft, draft.nodes[name], kept)
    for name in list(draft.nodes):
        if name in draft.nodes and isinstance(draft.nodes[name].op, Joined):
            _distribute(draft, name, _parts(draft.nodes[name]), kept)
    _prune(draft, kept)
    for name in list(draft.nodes):
        if name in draft.nodes:
            _fold(draft, draft.nodes[name], kept)
    _prune(draft, kept)


def _prune(draft: Draft, kept: set[str]) -> None:
    """Remove nodes that lead neither to what is read nor to neurons."""
    alive = {name for name, node in draft.nodes.items() if name in kept or node.is_neuron}
    frontier = list(alive)
    while frontier:
        for slot in draft.nodes[frontier.pop()].slots:
            for source in slot.terms:
                if source.node not in alive and source.node != INPUT:
                    alive.add(source.node)
                    frontier.append(source.node)
    for name in [name for name in draft.nodes if name not in alive]:
        del draft.nodes[name]


def _pull_delay(draft: Draft, node: DraftNode, kept: set[str]) -> None:
    """Move the delay with which all use a layer before it, where its bias is not delayed."""
    slots = [slot for user in draft.nodes.values() for slot in user.slots]
    least = min((s.delay for slot in slots for s in slot.terms if s.node == node.name), default=0)
    if node.is_neuron or node.name in kept or not least:
        return
    for slot in slots:
        slot.terms = {s._replace(delay=s.delay - least) if s.node == node.name else s: f for s, f in slot.terms.items()}
    for slot in node.slots:
        slot.terms = {s._replace(delay=s.delay + least): f for s, f in slot.terms.items()}


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """A part of joined features: what it is given, and where it lies along the first axis."""

    slot: Slot
    start: int
    shape: Shape

    def of(self, value: Any, rank: int) -> Any:
        """Return the part's share of a factor or offset of all features."""
        if np.ndim(value) < rank or np.shape(value)[0] == 1:
            return value
        return value[self.start : self.start + self.shape[0]]


def _parts(join: DraftNode) -> list[_Part]:
    assert isinstance(join.op, Joined)
    starts = np.cumsum((0, *join.op.sizes))
    return [
        _Part(slot, int(start), (size, *join.leaving[1:]))
        for slot, start, size in zip(join.slots, starts, join.op.sizes, strict=False)
    ]


def _distribute(draft: Draft, name: str, parts: list[_Part], kept: set[str]) -> None:
    """Give each part of the joined features ``name`` its own way into what these feed."""
    shape = draft.nodes[name].leaving
    embedded: list[str] = []
    for node in draft.users(name):
        (slot,) = [slot for slot in node.slots if any(s.node == name for s in slot.terms)]
        ((source, factor),) = [(s, f) for s, f in slot.terms.items() if s.node == name]
        pieces = None if node.name in kept else _pieces(node, parts, len(slot.terms) > 1)
        if pieces is None:
            embedded = embedded or [_embedded(draft, name, part, shape) for part in parts]
            del slot.terms[source]
            slot.terms.update({Source(part, "", source.delay): factor for part in embedded})
            continue
        made = _divided(draft, node, slot, source, list(zip(parts, pieces, strict=True)))
        del slot.terms[source]
        if isinstance(node.op, (Linear, Conv1d, Conv2d)) and not _is_depthwise(node.op):
            slot.offset = 0.0
            _add_terms(draft, node, made)
            continue
        _distribute(draft, node.name, _behind_each_other(draft, made), kept)
        if node.name not in kept:
            del draft.nodes[node.name]
    if name in kept:
        node = draft.nodes[name]
        node.op = Scale(np.ones(1, np.float32))
        embedded = embedded or [_embedded(draft, name, part, shape) for part in parts]
        node.slots = [Slot({Source(part): 1.0 for part in embedded})]


def _divided(draft: Draft, node: DraftNode, slot: Slot, source: Source, pieces: list[tuple[_Part, Any]]) -> list[str]:
    """Add a node for each part, given its share of what ``node`` gets from ``source``; return their names."""
    made, factor, rank = [], slot.terms[source], len(draft.nodes[source.node].leaving)
    for part, op in pieces:
        own = {s._replace(delay=s.delay + source.delay): f * part.of(factor, rank) for s, f in part.slot.terms.items()}
        offset = part.slot.offset * part.of(factor, rank) + part.of(slot.offset, rank)
        entering = part.shape
        made.append(draft.add(node.name, op, [Slot(own, offset)], entering, op.output_shape(entering), None))
        draft.nodes[made[-1]].steps = set(node.steps)
    return made


def _behind_each_other(draft: Draft, names: list[str]) -> list[_Part]:
    """Return what nodes give as parts of joined features."""
    starts = np.cumsum([0, *(draft.nodes[name].leaving[0] for name in names)])
    return [
        _Part(Slot({Source(name): 1.0}), int(start), draft.nodes[name].leaving)
        for name, start in zip(names, starts, strict=False)
    ]


def _add_terms(draft: Draft, node: DraftNode, made: list[str]) -> None:
    """Let nodes beside ``node`` feed what it feeds; the node goes where nothing feeds it any more."""
    is_empty = not node.slots[0].terms
    if is_empty:
        first = draft.nodes[made[0]]
        assert isinstance(first.op, (Linear, Conv1d, Conv2d))
        first.op = replace(first.op, bias=getattr(node.op, "bias", None))
    for after in draft.users(node.name):
        for slot in after.slots:
            for source, factor in [(s, f) for s, f in slot.terms.items() if s.node == node.name]:
                if is_empty:
                    del slot.terms[source]
                slot.terms.update({source._replace(node=piece): factor for piece in made})
    if is_empty:
        del draft.nodes[node.name]


def _pieces(node: DraftNode, parts: list[_Part], has_more: bool) -> list[Any] | None:
    """Return the operation of a node on each part of what it is given, None if it takes only the whole."""
    op = node.op
    if isinstance(op, (Pool2d, Maximum)) or (isinstance(op, Flatten) and op.start == 0):
        return None if has_more else [op for _ in parts]
    if isinstance(op, Linear) and len(node.entering) == 1:
        return [Linear(op.weight[:, p.start : p.start + p.shape[0]]) for p in parts]
    if isinstance(op, (Conv1d, Conv2d)) and _is_depthwise(op):
        if has_more:
            return None
        cut = [slice(p.start, p.start + p.shape[0]) for p in parts]
        biases = [None if op.bias is None else op.bias[c] for c in cut]
        return [
            replace(op, weight=op.weight[c], bias=bias, groups=p.shape[0])
            for p, c, bias in zip(parts, cut, biases, strict=True)
        ]
    if isinstance(op, (Conv1d, Conv2d)) and op.groups == 1:
        return [replace(op, weight=op.weight[:, p.start : p.start + p.shape[0]], bias=None) for p in parts]
    return None


def _is_depthwise(op: Conv1d | Conv2d | Linear) -> bool:
    return isinstance(op, (Conv1d, Conv2d)) and op.groups == op.weight.shape[0] > 1 and op.weight.shape[1] == 1


def _embedded(draft: Draft, name: str, part: _Part, shape: Shape) -> str:
    """Add a layer that puts a part at its place among the joined features."""
    chosen = np.zeros((shape[0], part.shape[0]), np.float32)
    chosen[part.start + np.arange(part.shape[0]), np.arange(part.shape[0])] = 1
    op: Linear | Conv1d | Conv2d
    match len(shape):
        case 1:
            op = Linear(chosen)
        case 2:
            op = Conv1d(chosen[:, :, None])
        case _:
            op = Conv2d(chosen[:, :, None, None])
    made = draft.add(name, op, [part.slot], part.shape, shape, None)
    draft.nodes[made].steps = set(draft.nodes[name].steps)
    return made


def _fold(draft: Draft, node: DraftNode, kept: set[str]) -> None:
    """Make a node's slot bare: fold into the layers before it, else into its own weights, else behind it."""
    for slot in node.slots:
        if slot.is_bare:
            continue
        _fold_back(draft, node, slot, kept)
        if not slot.is_bare and len(node.slots) == 1:
            _fold_forward(draft, node, slot, kept)
        if not slot.is_bare:
            _explicit(draft, node, slot)


def _fold_back(draft: Draft, node: DraftNode, slot: Slot, kept: set[str]) -> None:
    """Move factors and the offset into the weights of the layers before, where these can hold them."""
    for source, factor in list(slot.terms.items()):
        offset = slot.offset if not source.delay else 0.0
        for taken in (offset, 0.0):
            if (equal(factor, 1.0) and equal(taken, 0.0)) or not _can_hold(draft, source, factor, taken):
                continue
            del slot.terms[source]
            held = _hold(draft, source.node, node, factor, taken, kept)
            slot.terms[source._replace(node=held)] = 1.0
            slot.offset = 0.0 if taken is offset else slot.offset
            break


def _can_hold(draft: Draft, source: Source, factor: Any, offset: Any) -> bool:
    """Tell whether the weights of a node, or of those before it, can hold a factor and an offset on what it sends."""
    node = draft.nodes.get(source.node)
    if node is None or source.port:
        return False
    if isinstance(node.op, (Linear, Conv1d, Conv2d)):
        if isinstance(node.op, Linear) and len(node.leaving) > 1:
            return np.ndim(factor) == 0 and np.ndim(offset) == 0
        return _by_channel(factor, node.leaving) is not None and _by_channel(offset, node.leaving) is not None
    before = _before(node, factor, offset)
    if before is None:
        return False
    terms = list(node.slots[0].terms)
    return all(_can_hold(draft, s, before[0], before[1] if i == 0 else 0.0) for i, s in enumerate(terms))


def _hold(draft: Draft, name: str, user: DraftNode, factor: Any, offset: Any, kept: set[str]) -> str:
    """Put a factor and an offset into a node, or into a copy where others use it as it is; returns its name."""
    node = draft.nodes[name]
    if name in kept or any(other is not user for other in draft.users(name)) or user.takes(name):
        steps = set(node.steps)
        slots = [Slot(dict(slot.terms), slot.offset) for slot in node.slots]
        name = draft.add(node.name, node.op, slots, node.entering, node.leaving, None)
        node = draft.nodes[name]
        node.steps = steps
    if isinstance(node.op, (Linear, Conv1d, Conv2d)):
        node.op = _scaled(node.op, node.leaving, factor, offset)
        return name
    before = _before(node, factor, offset)
    assert before is not None
    slot = node.slots[0]
    for index, (source, own) in enumerate(list(slot.terms.items())):
        del slot.terms[source]
        held = _hold(draft, source.node, node, before[0], before[1] if not index else 0.0, kept)
        slot.terms[source._replace(node=held)] = own
    return name


def _before(node: DraftNode, factor: Any, offset: Any) -> tuple[Any, Any] | None:
    """Return a factor and an offset behind a pool or flattening as they are before it, None if they are not."""
    if not node.slots[0].is_bare:
        return None
    if isinstance(node.op, Flatten):
        return reshaped(factor, node.leaving, node.entering), reshaped(offset, node.leaving, node.entering)
    if isinstance(node.op, Pool2d):
        channels, shift = _by_channel(factor, node.leaving), _by_channel(offset, node.leaving)
        if channels is None or shift is None or (any(node.op.padding) and np.any(shift)):
            return None
        area = 1 if node.op.mean else node.op.kernel[0] * node.op.kernel[1]
        return channels[:, None, None], shift[:, None, None] / area
    if isinstance(node.op, Scale):
        return factor, offset / node.op.scale.astype(np.float64) if np.all(node.op.scale) else None
    return None


def _fold_forward(draft: Draft, node: DraftNode, slot: Slot, kept: set[str]) -> None:
    """Move one factor of all sources, and the offset, into a node's own weights, or behind a pool or flattening."""
    factors = list(slot.terms.values())
    if not factors or any(not equal(factor, factors[0]) for factor in factors):
        return
    factor, offset, op = factors[0], slot.offset, node.op
    if isinstance(op, (Linear, Conv1d, Conv2d)):
        made = _fed(op, node.entering, factor, offset)
        if made is None:
            return
        node.op = made
    elif isinstance(op, (Flatten, Pool2d)) and node.name not in kept and not node.is_neuron:
        after = _after(node, factor, offset)
        if after is None:
            return
        for user in draft.users(node.name):
            for into in user.slots:
                for source in [s for s in into.terms if s.node == node.name]:
                    into.offset = into.offset + into.terms[source] * after[1]
                    into.terms[source] = into.terms[source] * after[0]
    else:
        return
    slot.terms = dict.fromkeys(slot.terms, 1.0)
    slot.offset = 0.0


def _after(node: DraftNode, factor: Any, offset: Any) -> tuple[Any, Any] | None:
    """Return a factor and an offset before a pool or flattening as they are behind it."""
    if isinstance(node.op, Flatten):
        return reshaped(factor, node.entering, node.leaving), reshaped(offset, node.entering, node.leaving)
    assert isinstance(node.op, Pool2d)
    channels, shift = _by_channel(factor, node.entering), _by_channel(offset, node.entering)
    if channels is None or shift is None or (any(node.op.padding) and np.any(shift)):
        return None
    area = 1 if node.op.mean else node.op.kernel[0] * node.op.kernel[1]
    return channels[:, None, None], shift[:, None, None] * area


def _fed(op: Linear | Conv1d | Conv2d, shape: Shape, factor: Any, offset: Any) -> Operation | None:
    """Return a layer that computes from ``x`` what it computed from ``factor * x + offset``; None if none does."""
    bias = np.zeros(op.weight.shape[0]) if op.bias is None else op.bias.astype(np.float64)
    weight = op.weight.astype(np.float64)
    made: Linear | Conv1d | Conv2d
    if isinstance(op, Linear):
        if len(shape) > 1 and (np.ndim(factor) or np.ndim(offset)):
            return None
        bias = bias + weight @ np.broadcast_to(offset, shape[-1:])
        made = replace(op, weight=(weight * np.broadcast_to(factor, shape[-1:])).astype(np.float32))
    else:
        channels, shift = _by_channel(factor, shape), _by_channel(offset, shape)
        if channels is None or shift is None or (np.any(shift) and np.any(op.padding)):
            return None
        of_group = np.arange(op.weight.shape[0]) * op.groups // op.weight.shape[0]
        index = of_group[:, None] * op.weight.shape[1] + np.arange(op.weight.shape[1])
        extra = (1,) * (weight.ndim - 2)
        bias = bias + (weight * shift[index].reshape(*index.shape, *extra)).sum(axis=tuple(range(1, weight.ndim)))
        made = replace(op, weight=(weight * channels[index].reshape(*index.shape, *extra)).astype(np.float32))
    return replace(made, bias=bias.astype(np.float32)) if op.bias is not None or np.any(bias) else made


def _scaled(op: Linear | Conv1d | Conv2d, shape: Shape, factor: Any, offset: Any) -> Operation:
    """Return a layer with a factor and an offset on each of its channels."""
    n_out = op.weight.shape[0]
    if isinstance(op, Linear) and len(shape) > 1:
        channels, shift = np.full(n_out, float(factor)), np.full(n_out, float(offset))
    else:
        channels, shift = _known_channels(factor, shape), _known_channels(offset, shape)
    weight = op.weight.astype(np.float64) * channels.reshape(-1, *(1,) * (op.weight.ndim - 1))
    bias = (np.zeros(n_out) if op.bias is None else op.bias.astype(np.float64)) * channels + shift
    return replace(
        op,
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32) if op.bias is not None or np.any(shift) else None,
    )


def _explicit(draft: Draft, node: DraftNode, slot: Slot) -> None:
    """Give factors and the offset nodes of their own, before ``node``."""
    for source, factor in list(slot.terms.items()):
        offset = slot.offset if not source.delay else 0.0
        if equal(factor, 1.0) and equal(offset, 0.0):
            continue
        shape = node.entering if len(node.slots) == 1 else draft.nodes[source.node].leaving
        if equal(offset, 0.0):
            op: Operation = Scale(np.asarray(factor, np.float32).reshape(np.shape(factor) or (1,)))
        else:
            op, slot.offset = _affine(node, factor, offset, shape), 0.0
        del slot.terms[source]
        made = draft.add(f"{node.name}.scale", op, [Slot({source._replace(delay=0): 1.0})], shape, shape, None)
        draft.nodes[made].steps = set(node.steps)
        slot.terms[Source(made, "", source.delay)] = 1.0


def _affine(node: DraftNode, factor: Any, offset: Any, shape: Shape) -> Operation:
    """Return a layer that computes ``factor * x + offset`` of each unit."""
    if len(shape) in (2, 3):
        channels, shift = _by_channel(factor, shape), _by_channel(offset, shape)
        if channels is not None and shift is not None:
            weight = channels.astype(np.float32).reshape(-1, *(1,) * len(shape))
            kind = Conv1d if len(shape) == 2 else Conv2d
            return kind(weight, shift.astype(np.float32), groups=shape[0])
    if len(shape) == 1 and shape[0] <= MOST_UNITS:
        weight = np.diag(np.broadcast_to(factor, shape)).astype(np.float32)
        return Linear(weight, np.broadcast_to(offset, shape).astype(np.float32))
    raise DeployError(
        f"an offset on the {list(shape)} inputs of {node.name} cannot be folded into a layer",
        where=node.name,
        fix="Add the offset after a linear or convolutional layer, or to the data.",
    )


def _by_channel(value: Any, shape: Shape) -> NDArray[np.float64] | None:
    """Return a factor or offset as one number for each channel, None if it varies within one."""
    full = np.asarray(value, np.float64)
    if full.ndim == 0:
        return np.full(shape[:1], float(full))
    full = np.broadcast_to(full, (*full.shape[: full.ndim - len(shape)], *shape)) if full.ndim <= len(shape) else full
    flat = full.reshape(shape[0], -1)
    return np.array(flat[:, 0]) if (flat == flat[:, :1]).all() else None


def _known_channels(value: Any, shape: Shape) -> NDArray[np.float64]:
    found = _by_channel(value, shape)
    assert found is not None
    return found
