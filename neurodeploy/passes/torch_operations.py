"""Linear operations between populations as torch functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Sparse, SynapseOp

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Operation = Callable[["Tensor"], "Tensor"]


def chain(ops: tuple[SynapseOp, ...], device: torch.device, dtype: torch.dtype) -> Operation:
    """Return a chain of linear operations as a function on a batch ``[B, *shape]``.

    Args:
        ops: linear operations, the first acts first.
        device: where tensors live.
        dtype: of weights and of the batch.
    """
    functions = [_function(op, device, dtype) for op in ops]

    def apply(x: Tensor) -> Tensor:
        for function in functions:
            x = function(x)
        return x

    return apply


def _function(op: SynapseOp, device: torch.device, dtype: torch.dtype) -> Operation:
    import torch
    from torch.nn import functional

    def tensor(values: Any) -> Any:
        return None if values is None else torch.from_numpy(np.array(values)).to(device, dtype)

    match op:
        case Linear():
            weight, bias = tensor(op.weight), tensor(op.bias)
            return lambda x: functional.linear(x, weight, bias)
        case Sparse():
            return _sparse(op, device, dtype)
        case Conv1d():
            weight, bias = tensor(op.weight), tensor(op.bias)
            return lambda x: functional.conv1d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)
        case Conv2d():
            weight, bias = tensor(op.weight), tensor(op.bias)
            return lambda x: functional.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)
        case Pool2d():
            divisor = None if op.mean else 1
            return lambda x: functional.avg_pool2d(x, op.kernel, op.stride, op.padding, divisor_override=divisor)
        case MaxPool2d():
            return lambda x: functional.max_pool2d(x, op.kernel, op.stride, op.padding)
        case Flatten():
            start = op.start + 1 if op.start >= 0 else op.start
            end = op.end + 1 if op.end >= 0 else op.end
            return lambda x: x.flatten(start, end)
        case Scale():
            factor = tensor(op.scale)
            return lambda x: x * factor


def _sparse(op: Sparse, device: torch.device, dtype: torch.dtype) -> Operation:
    """Return sparse synapses as a function; sums are taken in ``dtype``, in an order of torch's own."""
    import torch

    matrix: Any = op.weight.tocsr()  # torch turns columns into rows anew in each call
    starts, columns, data = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # "CSR support is in beta", "checks are disabled"
        weight = torch.sparse_csr_tensor(starts, columns, data, size=matrix.shape).to(device, dtype)
    bias = None if op.bias is None else torch.from_numpy(np.array(op.bias)).to(device, dtype)

    def apply(x: Tensor) -> Tensor:
        out = (weight @ x.flatten(1).T).T.contiguous()
        out = out if bias is None else out + bias
        return out if op.shape is None else out.reshape(len(out), *op.shape)

    return apply
