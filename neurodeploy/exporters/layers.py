"""Turn torch functions into linear operations: their arguments as synapses, with the weights that they were given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array

from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, Pair, Pool2d, Scale, Shape, Sparse


@dataclass(frozen=True, slots=True)
class Maximum:
    """The largest value of each window over one axis or two.

    kernel, stride, padding: extents by axis; what lies in the padding is never the largest.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters."""
        return self.sum_of(shape[0]).output_shape(shape)

    def sum_of(self, channels: int) -> Conv1d | Pool2d:
        """Return the sum over the same windows."""
        if len(self.kernel) == 1:
            return window_sum(channels, self.kernel[0], self.stride[0], self.padding[0])
        return Pool2d(pair(self.kernel), pair(self.stride), pair(self.padding))


@dataclass(frozen=True, slots=True)
class Joined:
    """The features of several signals behind each other along the first axis.

    sizes: extent of each part along that axis.
    """

    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Neurons:
    """Neurons of the framework. module: that computes them."""

    module: Any


@dataclass(frozen=True, eq=False, slots=True)
class Total:
    """The sum of what came in all steps so far, and of what it starts from.

    start: float64, of the features' shape.
    """

    start: NDArray[np.float64]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters."""
        return shape


Operation = Linear | Sparse | Conv1d | Conv2d | Pool2d | Flatten | Scale | Maximum | Joined | Total | Neurons


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """What a torch function does: operations one after the other, and a factor on what leaves."""

    ops: tuple[Operation, ...]
    factor: float = 1.0


LINEAR = (
    *("einsum", "conv_transpose1d", "conv_transpose2d", "interpolate", "upsample", "pixel_shuffle", "pixel_unshuffle"),
    *(
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "avg_pool1d",
        "avg_pool2d",
        "pad",
        "unfold",
        "fold",
        "flip",
        "roll",
    ),
    *("index_select", "getitem", "sum", "mean", "repeat_interleave", "permute", "transpose", "swapaxes", "movedim"),
    *("matmul", "mm", "bmm", "tile", "repeat", "cumsum", "diff", "conv1d", "conv2d"),
)
"""Functions that are linear in a tensor, each sample by itself, with most of their options."""

MOST_WEIGHTS = 2**26
"""A linear function that NIR has no node for becomes a matrix of so many weights at most."""


class UnsupportedError(Exception):
    """The function has an option that no operation has; the message names it and says what to use."""


ARGUMENTS = {
    "linear": ("input", "weight", "bias"),
    "matmul": ("input", "other"),
    "mm": ("input", "other"),
    "addmm": ("bias", "input", "other"),
    "conv1d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "avg_pool1d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "lp_pool1d": ("input", "norm_type", "kernel_size", "stride", "ceil_mode"),
    "lp_pool2d": ("input", "norm_type", "kernel_size", "stride", "ceil_mode"),
    "max_pool1d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "adaptive_avg_pool1d": ("input", "output_size"),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool1d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size"),
    "pad": ("input", "pad", "mode", "value"),
}
"""The functions that are followed as layers, and their arguments in order."""


def named_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what a function was called with, by name.

    Args:
        name: of the function. args, kwargs: of the call.
    """
    return {**dict(zip(ARGUMENTS[name], args, strict=False)), **kwargs}


def layer_step(name: str, given: dict[str, Any], shape: Shape) -> Step:
    """Return the operations that a torch function applies to a signal of ``shape``.

    Args:
        name: of the function. given: its arguments by name. shape: of the features that enter.

    Raises:
        UnsupportedError: it has an option that no operation has.
    """
    if name in ("linear", "matmul", "mm", "addmm"):
        return Step((_linear(name, given),))
    if name == "conv1d":
        return Step((_conv1d(given),))
    if name == "conv2d":
        return Step((_conv2d(given),))
    if name == "pad":
        return Step((_pad(given, shape),))
    if len(shape) != (2 if name.endswith("1d") else 3):
        raise UnsupportedError(f"{name}() over features of shape {list(shape)}; it takes channels and one axis or two")
    return _pool(name, given, shape)


def matrix_of(function: Callable[[Any], Any], n_lead: int, shape: Shape) -> Sparse | None:
    """Return a linear function of features as a matrix with an offset, found by calling it; None if it is not linear.

    Args:
        function: of a tensor of ``n_lead`` axes, the last of samples, which it keeps, and the features behind them.
        n_lead: axes before the features.
        shape: of the features.

    Raises:
        UnsupportedError: the matrix would be too large.
    """
    n = prod(shape)
    lead = (1,) * (n_lead - 1)
    several = (*(4,) * (n_lead - 1), 3)  # so that what mixes steps, or samples, shows
    samples = torch.randn((*several, *shape), generator=torch.Generator().manual_seed(0))
    given = function(samples)
    leaving = tuple(given.shape[n_lead:])
    if tuple(given.shape[:n_lead]) != several:
        return None
    if n * prod(leaving) > MOST_WEIGHTS:
        raise UnsupportedError(
            f"a matrix of {n} x {prod(leaving)} weights, for which NIR has no smaller node; use fewer channels or a "
            "smaller map there, or a convolution"
        )
    offset = function(torch.zeros((*lead, 1, *shape))).reshape(-1)
    ones = torch.split(torch.arange(n), max(1, MOST_WEIGHTS // (4 * n)))
    units = (torch.nn.functional.one_hot(block, n).float().reshape(*lead, -1, *shape) for block in ones)
    weight = (torch.cat([function(block).reshape(block.shape[n_lead - 1], -1) for block in units]) - offset).T
    again = samples.reshape(-1, n) @ weight.T + offset
    if not torch.allclose(given.reshape(len(again), -1), again, rtol=1e-4, atol=1e-5):
        return None
    bias = offset.numpy() if bool(offset.any()) else None
    return Sparse(csc_array(weight.numpy()), bias, shape=leaving or (1,))


def _array(tensor: Any) -> NDArray[np.float32] | None:
    return None if tensor is None else np.array(tensor.detach().float().numpy())


def _linear(name: str, given: dict[str, Any]) -> Linear:
    if name == "linear":
        return Linear(np.asarray(_array(given["weight"])), _array(given.get("bias")))
    other = given["other"]
    if other.dim() != 2:
        raise UnsupportedError(f"{name}() with a tensor of {other.dim()} axes; weights have two")
    bias = given.get("bias")
    bias = None if bias is None else np.broadcast_to(np.asarray(_array(bias)), (other.shape[1],))
    return Linear(np.asarray(_array(other)).T, bias)


def _conv1d(given: dict[str, Any]) -> Conv1d:
    weight = np.asarray(_array(given["weight"]))
    stride, dilation = _single(given.get("stride", 1)), _single(given.get("dilation", 1))
    padding, weight = _padding(given.get("padding", 0), weight, (dilation,))
    return Conv1d(weight, _array(given.get("bias")), stride, padding[0], dilation, int(given.get("groups", 1)))


def _conv2d(given: dict[str, Any]) -> Conv2d:
    weight = np.asarray(_array(given["weight"]))
    stride, dilation = pair(given.get("stride", 1)), pair(given.get("dilation", 1))
    padding, weight = _padding(given.get("padding", 0), weight, dilation)
    bias, groups = _array(given.get("bias")), int(given.get("groups", 1))
    return Conv2d(weight, bias, stride, (padding[0], padding[1]), dilation, groups)


def _padding(
    padding: Any, weight: NDArray[np.float32], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    """Return padding in numbers; ``same`` with an even kernel gets zeros before it, so that sides are equal."""
    n_axes = len(dilation)
    if padding == "valid":
        return (0,) * n_axes, weight
    if padding != "same":
        return (tuple(pair(padding)) if n_axes == 2 else (_single(padding),)), weight
    found = []
    for axis, gap in enumerate(dilation):
        total = gap * (weight.shape[2 + axis] - 1)
        if total % 2 and gap > 1:
            raise UnsupportedError(
                "padding='same' with an even kernel and dilation pads one side more; give it in numbers"
            )
        if total % 2:
            widths = [(0, 0)] * weight.ndim
            widths[2 + axis] = (1, 0)
            weight, total = np.pad(weight, widths), total + 1
        found.append(total // 2)
    return tuple(found), weight


def _pad(given: dict[str, Any], shape: Shape) -> Conv1d | Conv2d:
    """Return zeros around features as a convolution of each channel that moves it, with padding on both sides."""
    n_axes = len(shape) - 1
    sides = [int(n) for n in given["pad"]] + [0] * (2 * n_axes - len(given["pad"]))
    if given.get("mode", "constant") != "constant" or given.get("value") not in (None, 0) or n_axes not in (1, 2):
        raise UnsupportedError(f"pad() of {list(shape)} with mode {given.get('mode', 'constant')!r}; pad with zeros")
    if len(sides) > 2 * n_axes or min(sides) < 0:
        raise UnsupportedError(f"pad() by {sides}; pad the axes behind the channels, by 0 or more")
    ends = [(sides[2 * i], sides[2 * i + 1]) for i in reversed(range(n_axes))]
    weight = np.zeros((shape[0], 1, *(1 + abs(left - right) for left, right in ends)), np.float32)
    taps: tuple[Any, ...] = (slice(None), 0, *(max(0, right - left) for left, right in ends))
    weight[taps] = 1
    most = [max(end) for end in ends]
    if n_axes == 1:
        return Conv1d(weight, None, 1, most[0], 1, shape[0])
    return Conv2d(weight, None, (1, 1), (most[0], most[1]), (1, 1), shape[0])


def chosen(shape: Shape, first: int, size: int) -> Operation:
    """Return the layer that passes on ``size`` channels from ``first`` on.

    Args:
        shape: of what enters. first: channel. size: number of channels.
    """
    weight = np.zeros((size, shape[0]), np.float32)
    weight[np.arange(size), first + np.arange(size)] = 1
    match len(shape):
        case 1:
            return Linear(weight)
        case 2:
            return Conv1d(weight[:, :, None])
        case 3:
            return Conv2d(weight[:, :, None, None])
    raise UnsupportedError(f"selecting some features of shape {list(shape)}; select channels")


def placed(shape: Shape, index: int, count: int, axis: int) -> Sparse:
    """Return the layer that puts features of ``shape`` at one place of a new axis of ``count`` places.

    Args:
        shape: of what enters. index: of the place. count: of places. axis: the new one.
    """
    leaving = (*shape[:axis], count, *shape[axis:])
    places = np.arange(prod(leaving)).reshape(leaving).take(index, axis).ravel()
    ones = np.ones(len(places), np.float32)
    weight = csc_array((ones, (places, np.arange(len(places)))), shape=(prod(leaving), len(places)))
    return Sparse(weight, shape=leaving)


def across_groups(n_groups: int, n_members: int) -> Linear:
    """Return the sum of each member over groups of neighbouring units."""
    return Linear(np.tile(np.eye(n_members, dtype=np.float32), n_groups))


def _pool(name: str, given: dict[str, Any], shape: Shape) -> Step:
    """Return a pool over one axis or two; a sum over one is a convolution of each channel on its own."""
    if name.startswith("adaptive"):
        kernel = stride = _adaptive_kernel(name, given["output_size"], shape)
        padding: tuple[int, ...] = (0,) * len(kernel)
    else:
        kernel, stride, padding = _window(given, shape)
    if "max" in name:
        _check_maximum(name, given)
        return Step((Maximum(kernel, stride, padding),))
    _check_mean(given, padding)
    is_sum = _is_sum(name, given)
    if len(kernel) == 1:
        return Step((window_sum(shape[0], kernel[0], stride[0], padding[0], 1.0 if is_sum else 1 / kernel[0]),))
    pairs = (pair(kernel), pair(stride), pair(padding))
    if divisor := given.get("divisor_override"):
        return Step((Pool2d(*pairs),), 1 / divisor)
    return Step((Pool2d(*pairs, mean=not is_sum),))


def _window(given: dict[str, Any], shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return kernel, stride and padding by axis."""
    n_axes = len(shape) - 1
    kernel = _each(given["kernel_size"], n_axes)
    stride, padding = _each(given.get("stride") or kernel, n_axes), _each(given.get("padding", 0), n_axes)
    rests = [(n + 2 * p - k) % s for n, k, s, p in zip(shape[1:], kernel, stride, padding, strict=True)]
    if given.get("ceil_mode") and any(rests):
        raise UnsupportedError("ceil_mode=True where the last window is not full; use ceil_mode=False")
    return kernel, stride, padding


def _check_maximum(name: str, given: dict[str, Any]) -> None:
    dilation = given.get("dilation", 1)
    if set(dilation if isinstance(dilation, (tuple, list)) else (dilation,)) != {1}:
        raise UnsupportedError(f"{name}() with dilation; use one without")


def _check_mean(given: dict[str, Any], padding: tuple[int, ...]) -> None:
    if any(padding) and given.get("count_include_pad") is False:
        raise UnsupportedError("count_include_pad=False with padding; NIR's pooling counts the padding")


def _is_sum(name: str, given: dict[str, Any]) -> bool:
    """Tell whether a pool sums: one of the first norm, of what is not below zero or linear in any case."""
    if not name.startswith("lp_"):
        return False
    if given["norm_type"] != 1:
        raise UnsupportedError(f"{name}() with norm_type other than 1; only the sum is linear")
    return True


def window_sum(channels: int, kernel: int, stride: int, padding: int = 0, weight: float = 1.0) -> Conv1d:
    """Return the weighted sum over windows of each channel.

    Args:
        channels: number of channels. kernel, stride, padding: of the windows. weight: of each value.
    """
    return Conv1d(np.full((channels, 1, kernel), weight, np.float32), None, stride, padding, 1, channels)


def _adaptive_kernel(name: str, size: Any, shape: Shape) -> tuple[int, ...]:
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,) * (len(shape) - 1)
    wanted = [own if n is None else int(n) for n, own in zip(sizes, shape[1:], strict=True)]
    if any(own % n for n, own in zip(wanted, shape[1:], strict=True)):
        raise UnsupportedError(
            f"{name}() from {list(shape[1:])} to {wanted} takes windows of unequal size; choose sizes that divide"
        )
    return tuple(own // n for n, own in zip(wanted, shape[1:], strict=True))


def mean_over(shape: Shape, axes: tuple[int, ...], keeps: bool) -> tuple[Operation, ...] | None:
    """Return operations that average features over all axes but the channels, None for other axes.

    Args:
        shape: of the features. axes: that are averaged. keeps: whether they stay, with one value each.
    """
    if axes != tuple(range(1, len(shape))):
        return None
    flat = () if keeps else (Flatten(0, -1),)
    if len(shape) == 3:
        return (Pool2d((shape[1], shape[2]), (shape[1], shape[2]), mean=True), *flat)
    if len(shape) == 2:
        return (window_sum(shape[0], shape[1], shape[1], weight=1 / shape[1]), *flat)
    return None


def maximum_over(shape: Shape, axes: tuple[int, ...], keeps: bool) -> tuple[Operation, ...] | None:
    """Return operations that take the largest of features over all axes but the channels, as :func:`mean_over`.

    Args:
        shape: of the features. axes: that are reduced. keeps: whether they stay, with one value each.
    """
    if axes != tuple(range(1, len(shape))) or len(shape) not in (2, 3):
        return None
    whole = tuple(shape[1:])
    return (Maximum(whole, whole, (0,) * len(whole)), *(() if keeps else (Flatten(0, -1),)))


def pair(value: Any) -> Pair:
    """Return one or two numbers as two."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return int(values[0]), int(values[-1])


def _single(value: Any) -> int:
    return int(value[0]) if isinstance(value, (tuple, list)) else int(value)


def _each(value: Any, n_axes: int) -> tuple[int, ...]:
    """Return one number or one for each axis as one for each."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return tuple(int(n) for n in (values if len(values) == n_axes else values * n_axes))
