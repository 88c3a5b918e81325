"""Loihi's own integer functions with the gradients that training needs: both wrap, and are straight-through backward.

Forward, each is exact on tensors of whole numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurodeploy.families.loihi.arithmetic import STATE_LIMIT, Arithmetic

_INT32 = 2.0**32


def to_int32(x: Tensor) -> Tensor:
    """Return x as an int32 register holds it; straight through backward."""
    with torch.no_grad():
        turns = torch.floor((x + _INT32 / 2) / _INT32) * _INT32
    return x - turns


def wrap(u: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Return u brought back into (-2**23, 2**23], as :func:`neurodeploy.families.loihi.step.wrap` does."""
    turn = 2.0 * STATE_LIMIT
    over: Tensor
    with torch.no_grad():
        if arithmetic.wraps_once:
            over = turn * (u > STATE_LIMIT).to(u.dtype) - turn * (u <= -STATE_LIMIT).to(u.dtype)
        else:
            over = torch.floor((u + (STATE_LIMIT - 1)) / turn) * turn
    return u - over
