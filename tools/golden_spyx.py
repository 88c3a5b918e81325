"""Small networks of spyx with its own exporter; jax keeps it apart from torch, and from our exporter."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = dict[str, list[NDArray[Any]]]


def _network(*kinds: str) -> Callable[[], Any]:
    def build() -> Any:
        import jax.numpy as jnp
        from flax import nnx
        from spyx import nn

        rngs = nnx.Rngs(0)
        layers: list[Any] = []
        for kind, (n_in, n_out) in zip(kinds, ((5, 8), (8, 4)), strict=True):
            neurons = getattr(nn, kind)((n_out,), threshold=0.3, rngs=rngs)
            for name in ("alpha", "beta"):
                if hasattr(neurons, name):
                    getattr(neurons, name)[...] = jnp.linspace(0.4, 0.9, n_out)
            layers += [nnx.Linear(n_in, n_out, rngs=rngs), neurons]
        return nn.Sequential(*layers)

    return build


CASES = {
    "spyx-lif": _network("LIF", "LIF"),
    "spyx-cuba": _network("CuBaLIF", "CuBaLIF"),
    "spyx-if-recurrent": _network("IF", "RLIF"),
}
"""What spyx's exporter writes of all of them can be read with ``--dialect spyx``."""


def run(net: Any, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return spikes and states [T, B, n] of every neuron of a network, as ``layer_<k>/<observable>``."""
    import jax.numpy as jnp

    states = net.initial_state(x.shape[1])
    rows: Rows = {}
    for row in x:
        value = jnp.asarray(row, jnp.float32)
        for k, layer in enumerate(net.layers):
            if states[k] is None:
                value = layer(value)
                continue
            value, states[k] = layer(value, states[k])
            parts = np.split(np.asarray(states[k]), states[k].shape[-1] // value.shape[-1], axis=-1)
            seen = {"spikes": np.asarray(value).astype(np.uint8), "v": parts[0], "u": parts[-1]}
            for key, values in seen.items():
                if key != "u" or len(parts) == 2:
                    rows.setdefault(f"layer_{k}/{key}", []).append(values)
    return {key: np.stack(values) for key, values in rows.items()}


def graph_of(net: Any, shape: tuple[int, ...]) -> Any:
    """Return what spyx's own exporter makes of a network."""
    from spyx.nir import to_nir

    return to_nir(net, {"input": np.array(shape)}, {"output": np.array([4])}, dt=1)
