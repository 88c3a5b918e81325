"""Small networks of spyx with its own exporter; jax keeps it apart from torch, and from our exporter.

CASES are whole networks, every layer recorded. SWEEP turns each option of each layer off its default, one at a time.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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


NEURONS = ("IF", "LIF", "CuBaLIF", "RIF", "RLIF", "RCuBaLIF", "PSU_LIF")
IMAGE = (2, 6, 6)
GAIN = 2.0
"""On all weights, so that neurons fire."""


@dataclass(frozen=True)
class Off:
    """A network with one option off its default.

    layers: makes them. answers: what is true of it, beside the defaults. lost: a key that no answer restores. option:
    which one, of several that share a key. dt: of ``to_nir``. shape: of a step's input, channels first.
    is_refused: whatever is said.
    """

    layers: Callable[[], list[Any]]
    answers: dict[str, str] = field(default_factory=dict)
    lost: str = ""
    option: str = ""
    dt: float = 1
    shape: tuple[int, ...] = (5,)
    is_refused: bool = False


def _rngs() -> Any:
    from flax import nnx

    return nnx.Rngs(3)


def _dense(n_in: int, n_out: int, kind: str = "Linear", **options: Any) -> Any:
    from flax import nnx

    layer = getattr(nnx, kind)(n_in, n_out, rngs=_rngs(), **options)
    layer.kernel[...] = GAIN * layer.kernel[...]
    if kind == "LoRALinear":
        layer.lora.lora_b[...] = 1 + layer.lora.lora_b[...]
    return layer


def _conv(**options: Any) -> Any:
    from flax import nnx

    layer = nnx.Conv(2, 3, (3, 3), rngs=_rngs(), **options)
    layer.kernel[...] = GAIN * layer.kernel[...]
    return layer


def _neuron(
    kind: str, shape: tuple[int, ...] = (4,), decays: dict[str, list[float]] | None = None, **options: Any
) -> Any:
    """Return a layer of neurons. decays: alpha or beta, one a neuron."""
    import jax.numpy as jnp
    from spyx import nn

    given = {key: jnp.asarray(value) if isinstance(value, list) else value for key, value in options.items()}
    layer = getattr(nn, kind)(shape, rngs=_rngs(), **given)
    for name, values in (decays or {}).items():
        getattr(layer, name)[...] = jnp.asarray(values)
    return layer


def _activation(early: bool) -> Any:
    """Return an activation that fires below the threshold, or gives by how much v is above it."""
    import jax
    import jax.numpy as jnp
    from spyx import axn

    return axn.custom(fwd=(lambda x: jnp.where(x > -0.3, 1.0, 0.0)) if early else jax.nn.relu)


def _flat(first: list[Any], n: int) -> list[Any]:
    from spyx import nn

    return [*first, nn.Flatten(), _dense(n, 4), _neuron("LIF")]


def _pool(*given: Any, **options: Any) -> list[Any]:
    from spyx import nn

    return [nn.SumPool(*given, **options)]


def _between(layer: Callable[[], Any]) -> Callable[[], list[Any]]:
    return lambda: [_dense(5, 4), layer(), _dense(4, 4), _neuron("LIF")]


def _function() -> Any:
    import jax

    return jax.nn.relu


def _norm() -> Any:
    from flax import nnx

    return nnx.LayerNorm(4, rngs=_rngs())


def _of_neurons(kind: str) -> dict[str, Off]:
    def off(**options: Any) -> Callable[[], list[Any]]:
        return lambda: [_dense(5, 4), _neuron(kind, **options)]

    def activated(early: bool) -> Callable[[], list[Any]]:
        return lambda: [_dense(5, 4), _neuron(kind, activation=_activation(early))]

    out = [1.1, -0.1, 1.0, 0.0]
    cases = {
        "plain": Off(off()),
        "threshold": Off(off(threshold=0.6)),
        "thresholds": Off(off(threshold=[0.5, 0.6, 0.7, 0.8])),
        "dt": Off(off(), {"dt": "0.001"} if kind == "PSU_LIF" else {}, dt=0.001),
        "early": Off(activated(True), {"activation": "early"}, "activation"),
        "graded": Off(activated(False), {"activation": "relu"}, "activation"),
    }
    if kind not in ("IF", "RIF"):
        cases |= {"beta": Off(off(beta=0.7)), "beta-out": Off(off(decays={"beta": out}))}
    if "CuBa" in kind:
        cases |= {"alpha": Off(off(alpha=0.3)), "alpha-out": Off(off(decays={"alpha": out}))}
    return {f"{kind}-{name}": case for name, case in cases.items()}


def _of_layers() -> dict[str, Off]:
    def conv(padding: Any = "VALID", n: int = 48, **options: Any) -> Callable[[], list[Any]]:
        return lambda: _flat([_conv(padding=padding, **options)], n)

    def fires(side: int, **options: Any) -> Callable[[], list[Any]]:
        return lambda: [_conv(**options), _neuron("LIF", (side, side, 3))]

    def pool(n: int, *given: Any, **options: Any) -> Callable[[], list[Any]]:
        return lambda: _flat(_pool(*given, **options), n)

    def lost(layers: Callable[[], list[Any]], option: str) -> Off:
        return Off(layers, {"layers": "other"}, "layers", option, shape=IMAGE)

    def mask() -> list[Any]:
        weights = np.ones((3, 3, 2, 3))
        weights[1] = 0
        return _flat([_conv(padding="VALID", mask=weights)], 48)

    def left_out(layers: Callable[[], list[Any]]) -> Off:
        return Off(layers, {"skipped": "there"}, "skipped")

    return {
        "Linear-no-bias": Off(lambda: [_dense(5, 4, use_bias=False), _neuron("LIF")]),
        "Linear-last": Off(lambda: [_dense(5, 4), _neuron("LIF"), _dense(4, 4)]),
        "Conv-valid": Off(conv(), shape=IMAGE),
        "Conv-same": Off(fires(6), shape=IMAGE),
        "Conv-pairs": Off(conv([(1, 1), (2, 2)], 144), shape=IMAGE),
        "Conv-strides": Off(conv(n=24, strides=(2, 1)), shape=IMAGE),
        "Conv-uneven": Off(conv([(1, 0), (1, 0)], 27, strides=2), shape=IMAGE),
        "Conv-dilation": lost(fires(6, kernel_dilation=2), "kernel_dilation"),
        "Conv-mask": lost(mask, "mask"),
        "SumPool-valid": Off(pool(18, 2, 2, "VALID"), shape=IMAGE),
        "SumPool-pairs": Off(pool(24, (2, 3), (2, 1), "VALID"), shape=IMAGE),
        "SumPool-same": Off(pool(18, 3, 2, "SAME"), shape=IMAGE, is_refused=True),
        "SumPool-axis": lost(pool(18, 2, 2, "VALID", channel_axis=1), "channel_axis"),
        "ALIF-between": left_out(_between(lambda: _neuron("ALIF"))),
        "LI-last": left_out(lambda: [_dense(5, 4), _neuron("LIF"), _dense(4, 4), _neuron("LI")]),
        "LI-between": left_out(_between(lambda: _neuron("LI"))),
        "function-between": left_out(_between(_function)),
        "LayerNorm-between": left_out(_between(_norm)),
        "LoRA": left_out(lambda: [_dense(5, 4, "LoRALinear", lora_rank=2), _neuron("LIF")]),
    }


SWEEP = {name: case for kind in NEURONS for name, case in _of_neurons(kind).items()} | _of_layers()
"""Each option of each layer that spyx's exporter knows, or passes over, off its default."""


def swept(case: Off, x: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
    """Return the graph that spyx's own exporter makes of a case, and what spyx itself gives [T, B, *shape].

    x: uint8 [T, B, *shape], images with channels first, as in the graph; spyx has them last.
    """
    import jax.numpy as jnp
    from spyx import nn
    from spyx.nir import to_nir

    net = nn.Sequential(*case.layers())
    state, rows = net.initial_state(x.shape[1]), []
    for row in x:
        value = jnp.asarray(row, jnp.float32)
        value, state = net(value if value.ndim < 4 else value.transpose(0, 2, 3, 1), state)
        rows.append(np.asarray(value if value.ndim < 4 else value.transpose(0, 3, 1, 2)))
    expected = np.stack(rows)
    shapes = {"input": np.array(case.shape)}, {"output": np.array(expected.shape[2:])}
    return to_nir(net, *shapes, dt=case.dt), expected


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
