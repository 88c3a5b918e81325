"""Synapses of a program on torch: exact products of integer weights and spikes, dense, convolved or sparse."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from neurodeploy.families.loihi.arithmetic import Arithmetic
from neurodeploy.families.loihi.finetuning.gradients import to_int32
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.synapses import Conv2d, as_map

EXACT_FLOAT32 = 2**24
"""Whole numbers below this are exact in float32."""

MOST_SPREAD = 2**24
"""Pairs of neurons up to which sparse weights are multiplied as a dense matrix."""


class Synapses:
    """A coded projection that delivers on torch.

    Args:
        program: the program.
        index: place of the projection.
        arithmetic: whether a negative exponent shifts the sum or each weight.
        device: where tensors live.
    """

    def __init__(self, program: LoihiProgram, index: int, arithmetic: Arithmetic, device: torch.device) -> None:
        self.index, self.projection, self.arithmetic = index, program.projections[index], arithmetic
        self.shape = program.shapes[self.projection.source]
        self.n_out = prod(program.shapes[self.projection.target])
        bits = self.projection.message_bits
        payload = 1 if not bits else 2**24
        if bits and self.projection.source in program.message_bits:
            payload = 2 ** program.message_bits[self.projection.source]
        elif bits and (most := program.population(self.projection.source).model.max_spikes) is not None:
            payload = most
        self.payload = payload
        self.codes = torch.as_tensor(self.projection.weight.astype(np.float32), device=device)
        self.places: Tensor | None = None
        if self.projection.indptr is not None and self.projection.indices is not None:
            of_source = np.repeat(np.arange(len(self.projection.indptr) - 1), np.diff(self.projection.indptr))
            self.places = torch.as_tensor(
                np.stack([self.projection.indices, of_source]).astype(np.int64), device=device
            )
        self.load(None)

    def load(self, weight: Tensor | None) -> None:
        """Take weight codes for the next run; None for the program's own."""
        weight = self.codes if weight is None else weight
        down = -self.projection.exponent
        if down > 0 and not self.arithmetic.shifts_sum:
            weight = weight + (torch.floor(weight.detach() / 2**down) - weight.detach())
        self.bound = self._row_sum(weight.detach().abs()) * self.payload
        self.dtype = torch.float32 if self.bound < EXACT_FLOAT32 else torch.float64
        weight = weight.to(self.dtype)
        self.weight = weight if self.places is None else self._matrix(weight)

    def most(self) -> float:
        """Return the most that one step can deliver to a neuron, in weight units."""
        return self.bound * 2.0**self.projection.exponent

    def all_rows(self, sent: Tensor) -> Tensor:
        """Return what arrives in each row, ``[rows, B, n]``, if the source sends ``sent``, ``[rows, B, n_in]``."""
        rows, n_samples = sent.shape[:2]
        if (delay := self.projection.delay) >= rows:
            return torch.zeros((rows, n_samples, self.n_out), dtype=torch.float64, device=sent.device)
        arrived = self.one_row(sent[: rows - delay].flatten(0, 1)).reshape(rows - delay, n_samples, self.n_out)
        return torch.cat([arrived.new_zeros((delay, *arrived.shape[1:])), arrived])

    def one_row(self, sent: Tensor) -> Tensor:
        """Return what is delivered for spikes ``[N, n_in]``, float64 ``[N, n]``."""
        total = self._product(sent.to(self.dtype)).to(torch.float64)
        exponent = self.projection.exponent
        if self.bound >= 2**31:
            total = to_int32(total)
        if exponent < 0:
            if not self.arithmetic.shifts_sum:
                return total
            return total + (torch.floor(total.detach() * 2.0**exponent) - total.detach())
        if exponent:
            total = total * 2.0**exponent
        return total if self.most() < 2**31 else to_int32(total)

    def _product(self, sent: Tensor) -> Tensor:
        if self.projection.is_conv:
            conv = self.projection.conv()
            images = sent.reshape(-1, *as_map(self.shape))
            if images.is_cuda:
                return _convolved(images, self.weight, conv).flatten(1)
            out = torch.nn.functional.conv2d(
                images, self.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups
            )
            return out.flatten(1)
        if self.weight.is_sparse:
            product: Tensor = torch.sparse.mm(self.weight, sent.T).T
            return product
        return sent @ self.weight.T

    def _matrix(self, weight: Tensor) -> Tensor:
        """Return sparse weights as a matrix (n_out, n_in)."""
        assert self.places is not None
        shape = (self.projection.n_out or 0, prod(self.shape))
        if prod(shape) <= MOST_SPREAD:
            return torch.zeros(shape, dtype=weight.dtype, device=weight.device).index_put(tuple(self.places), weight)
        return torch.sparse_coo_tensor(self.places, weight, shape, is_coalesced=True)

    def _row_sum(self, weight: Tensor) -> float:
        """Return the largest sum of weights into a neuron."""
        if not weight.numel():
            return 0.0
        if self.places is not None:
            sums = torch.zeros(self.projection.n_out or 0, dtype=torch.float64, device=weight.device)
            return float(sums.index_add_(0, self.places[0], weight.double()).max())
        return float(weight.double().flatten(1).sum(1).max())


def _convolved(images: Tensor, weight: Tensor, conv: Conv2d) -> Tensor:
    """Return a convolution as a product of matrices; CUDA's convolutions may take ways that are not exact."""
    _, height, width = conv.output_shape(tuple(images.shape[1:]))
    kernel = (weight.shape[2], weight.shape[3])
    columns = torch.nn.functional.unfold(images, kernel, conv.dilation, conv.padding, conv.stride)
    columns = columns.reshape(len(images), conv.groups, -1, columns.shape[-1])
    matrix = weight.reshape(conv.groups, weight.shape[0] // conv.groups, -1)
    return (matrix @ columns).reshape(len(images), weight.shape[0], height, width)
