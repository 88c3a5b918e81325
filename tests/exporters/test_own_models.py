# ruff: noqa: E501, F811
"""Models of many forms from the frameworks' own exporters: options in pairs, nested, recurrent, images, shared modules.

The file is read to every spike with the answers that its question asks for, or refused; what no file tells is assumed
aloud.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_own_exporters import (  # noqa: F401
    N_IN,
    B,
    Case,
    T,
    answered,
    assert_gives,
    check_unasked,
    exported,
    layer,
    stepwise,
)  # fmt: skip

from neurodeploy.errors import DeployError

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

PICTURE = (2, 9, 7)
Make = Callable[[], Any]


@dataclass(frozen=True)
class Model(Case):
    """A case whose answers may be tensors, a value a neuron. lost: words of the refusal.

    unwritten: words of what is assumed aloud, since nothing in the file tells it.
    """

    unwritten: str | None = None


def even(low: float, high: float, n: int = 5) -> Any:
    return torch.linspace(low, high, n)


def conv(n_in: int, n_out: int, gain: float = 3.0, **options: Any) -> Any:
    """A convolution of 3 x 3 whose weights make neurons fire."""
    made = nn.Conv2d(n_in, n_out, 3, **options)
    made.weight.data *= gain
    return made


def dense(*neurons: Any, gain: float = 3.0, n: tuple[int, ...] = (N_IN, 8, 5)) -> Any:
    """Layers of weights with neurons behind each."""
    pairs = [(layer(n_in, n_out, gain), of) for n_in, n_out, of in zip(n, n[1:], neurons, strict=False)]
    return nn.Sequential(*(module for pair in pairs for module in pair))


class Steps(nn.Module):  # type: ignore[misc]
    """Modules, and what they do in a step."""

    def __init__(self, step: Callable[..., Any], **modules: Any) -> None:
        super().__init__()
        self.step = step
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        return self.step(self, x)


def snntorch(make: Make, shape: tuple[int, ...] = (N_IN,)) -> Any:
    def export(x: np.ndarray) -> Any:
        from snntorch import utils
        from snntorch.export_nir import export_to_nir

        model = make()
        utils.reset(model)
        expected = stepwise(lambda row: out[0] if isinstance(out := model(row), tuple) else out, x)
        utils.reset(model)
        return export_to_nir(model, torch.zeros(1, *shape), ignore_dims=[0]), expected

    return export


def norse(make: Make, shape: tuple[int, ...] = (N_IN,), **options: Any) -> Any:
    def export(x: np.ndarray) -> Any:
        from norse.torch.utils.export_nir import to_nir

        model, state, rows = make(), None, []
        for row in x:
            out, state = model(torch.tensor(row), state)
            rows.append(out.detach().numpy())
        return to_nir(model, torch.zeros(shape), **options), np.stack(rows)

    return export


def sinabs(make: Make, shape: tuple[int, ...] = (N_IN,)) -> Any:
    def export(x: np.ndarray) -> Any:
        import sinabs as package
        from sinabs.nir import to_nir

        model, given = make(), torch.tensor(x).transpose(0, 1)
        sample = torch.zeros(1, 1, *shape)
        if any(hasattr(module, "squeeze_init") for module in model.modules()):  # batch and time are one axis
            given, sample = given.reshape(-1, *shape), torch.zeros(T * B, *shape)
        out = model(given).detach()
        expected = out.reshape(B, T, *out.shape[-1:]).transpose(0, 1).numpy()
        package.reset_states(model)
        return to_nir(model, sample), expected

    return export


def rockpool(make: Make) -> Any:
    def export(x: np.ndarray) -> Any:
        import rockpool.nn.modules as rm

        model = make()
        expected = model(torch.tensor(x).transpose(0, 1))[0].transpose(0, 1).detach().numpy()
        model.reset_state()
        return rm.to_nir(model, torch.zeros(N_IN)), expected

    return export


def spikingjelly(make: Make, shape: tuple[int, ...] = (N_IN,), many: bool = False, **options: Any) -> Any:
    def export(x: np.ndarray) -> Any:
        from spikingjelly.activation_based import functional
        from spikingjelly.activation_based.nir_exchange import export_to_nir

        model = make()
        functional.set_step_mode(model, "m" if many else "s")
        expected = model(torch.tensor(x)).detach().numpy() if many else stepwise(model, x)
        functional.reset_net(model)
        return export_to_nir(model, torch.zeros(*((2, 1) if many else (1,)), *shape), **options), expected

    return export


def leaky(n: Any = 5, kind: str = "Leaky", **options: Any) -> Any:
    import snntorch as snn

    size = n if isinstance(n, tuple) else (n,)
    count = int(np.prod(size))
    given: dict[str, Any] = {
        "beta": even(0.7, 0.95, count).reshape(size),
        "threshold": even(0.8, 1.2, count).reshape(size),
    }
    if kind.endswith("Synaptic"):
        given["alpha"] = even(0.3, 0.6, count).reshape(size)
    if kind.startswith("R"):
        given["linear_features"] = n
    return getattr(snn, kind)(**{**given, "init_hidden": True, **options})


# fmt: off
def _snntorch() -> dict[str, Model]:
    def net(*layers: Any) -> Any:
        return snntorch(lambda: nn.Sequential(*layers))

    def image(*layers: Any) -> Any:
        return snntorch(lambda: nn.Sequential(*(of() for of in layers)), PICTURE)

    def first(**options: Any) -> Any:
        return snntorch(lambda: dense(leaky(8, **options), leaky(5)))

    def both(**options: Any) -> Any:
        return snntorch(lambda: dense(leaky(8, **options), leaky(5, **options)))

    def with_states(model: Any, x: Any) -> Any:
        s, model.v1 = model.lif1(model.fc1(x), getattr(model, "v1", None))
        s, model.v2 = model.lif2(model.fc2(s), getattr(model, "v2", None))
        return s

    def shared_weights(model: Any, x: Any) -> Any:
        return model.lif2(model.fc(model.lif1(model.fc(x))))

    def shared_neurons(model: Any, x: Any) -> Any:
        return model.lif2(model.fc3(model.lif1(model.fc2(model.lif1(model.fc1(x))))))

    def two_returned(model: Any, x: Any) -> Any:
        s = model.lif1(model.fc1(x))
        return model.lif2(model.fc2(s)), model.lif3(model.fc3(s))

    zero, late, vector = {"reset": "zero"}, {"reset_delay": "false"}, {"all_to_all": False, "V": even(-1, 1, 8), "linear_features": None}
    return {
        "graded-zero": Model("snntorch", both(graded_spikes_factor=0.5, reset_mechanism="zero"), {"graded": "0.5", **zero}, worth=0.5),
        "graded-same-step": Model("snntorch", both(graded_spikes_factor=2.0, reset_delay=False), {"graded": "2", **late}, worth=2.0),
        "graded-negative": Model("snntorch", both(graded_spikes_factor=-0.5), {"graded": "-0.5"}, worth=-0.5),
        "graded-by-neuron": Model("snntorch,3:graded=1", first(graded_spikes_factor=even(0.5, 2, 8)), {"graded": even(0.5, 2, 8)}),
        "alpha-around-1": Model("snntorch", snntorch(lambda: dense(leaky(8, "Synaptic", alpha=even(0.2, 1.1, 8)), leaky(5), gain=0.8))),
        "alpha-around-0": Model("snntorch", first(kind="Synaptic", alpha=even(-0.3, 0.8, 8))),
        "beta-0": Model("snntorch", snntorch(lambda: dense(leaky(8, beta=torch.zeros(8)), leaky(5, beta=torch.zeros(5))))),
        "beta-1": Model("snntorch", snntorch(lambda: dense(leaky(8, beta=torch.ones(8)), leaky(5, beta=torch.ones(5))))),
        "beta-around-0": Model("snntorch", first(beta=even(-0.3, 0.8, 8))),
        "threshold-around-0": Model("snntorch", first(threshold=even(-0.2, 1, 8)), lost="before the first step"),
        "threshold-around-0-zero": Model("snntorch,3:reset=subtract", first(threshold=even(-0.2, 1, 8), reset_mechanism="zero"), zero, "before the first step"),
        "threshold-around-0-same-step": Model("snntorch,3:reset_delay=true", first(threshold=even(-0.2, 1, 8), reset_delay=False), late),
        "recurrence-by-neuron": Model("snntorch", first(kind="RLeaky", **vector)),
        "recurrence-by-neuron-current": Model("snntorch", first(kind="RSynaptic", **vector)),
        "resets": Model("snntorch,1:reset=zero,3:reset=subtract", first(reset_mechanism="zero")),
        "no-reset-at-last": Model("snntorch,1:reset=subtract,3:reset=none", snntorch(lambda: dense(leaky(8), leaky(5, reset_mechanism="none")))),
        "nested": Model("snntorch", snntorch(lambda: nn.Sequential(dense(leaky(8), leaky(5)), nn.Sequential(layer(5, 4, 3.0), nn.Sequential(leaky(4)))))),
        "nested-recurrent": Model("snntorch", snntorch(lambda: nn.Sequential(dense(leaky(8, "RLeaky"), leaky(5)), nn.Sequential(layer(5, 4, 3.0), leaky(4, "RSynaptic"))))),
        "potential-returned": Model("snntorch", snntorch(lambda: dense(leaky(8), leaky(5, output=True)))),
        "states-outside": Model("snntorch", snntorch(lambda: Steps(with_states, fc1=layer(N_IN, 8, 3.0), lif1=leaky(8, init_hidden=False), fc2=layer(8, 5, 3.0), lif2=leaky(5, init_hidden=False)))),
        "shared-weights": Model("snntorch", snntorch(lambda: Steps(shared_weights, fc=layer(N_IN, N_IN, 3.0), lif1=leaky(N_IN), lif2=leaky(N_IN))), {"called": "again"}, "called of 'fc'"),
        "shared-neurons": Model("snntorch", snntorch(lambda: Steps(shared_neurons, fc1=layer(N_IN, 8, 3.0), fc2=layer(8, 8, 3.0), fc3=layer(8, 5, 3.0), lif1=leaky(8), lif2=leaky(5))), {"called": "again"}, "called of 'lif1'"),
        "image": Model("snntorch", image(lambda: conv(2, 4, stride=(2, 1), groups=2, bias=False), lambda: leaky((4, 4, 5)), lambda: nn.AvgPool2d(2), nn.Flatten, lambda: layer(16, 5, 5.0), leaky), shape=PICTURE),
        "image-flattened-twice": Model("snntorch", image(lambda: conv(2, 4, dilation=2, padding="same"), lambda: leaky((4, 9, 7)), lambda: nn.Flatten(-2), lambda: leaky((4, 63)), lambda: nn.Flatten(1, 2), lambda: layer(252, 5, 20.0), leaky), shape=PICTURE),
        "image-recurrent": Model("snntorch", image(lambda: conv(2, 3), lambda: leaky((3, 7, 5)), nn.Flatten, lambda: layer(105, 8, 3.0), lambda: leaky(8, "RSynaptic")), shape=PICTURE),
        "two-returned": Model("snntorch", snntorch(lambda: Steps(two_returned, fc1=layer(N_IN, 8, 3.0), fc2=layer(8, 5, 3.0), fc3=layer(8, 5, 3.0), lif1=leaky(8), lif2=leaky(5), lif3=leaky(5))), {"called": "two"}, "called of 'output'"),
        "image-pool": Model("snntorch", image(lambda: conv(2, 2), lambda: leaky((2, 7, 5)), lambda: nn.AvgPool2d(3, 2), nn.Flatten, lambda: layer(12, 5, 9.0), leaky), shape=PICTURE),
    }


def _norse() -> dict[str, Model]:
    def cell(kind: str = "LIFBoxCell", n: Any = 5, dt: float = 1e-3, **given: Any) -> Any:
        import norse.torch as package
        from norse.torch.functional import iaf, leaky_integrator_box, lif, lif_box, reset

        of = {"LIFCell": lif.LIFParameters, "LIFBoxCell": lif_box.LIFBoxParameters, "IAFCell": iaf.IAFParameters, "LIBoxCell": leaky_integrator_box.LIBoxParameters}[kind]
        size = n if isinstance(n, tuple) else (n,)
        count = int(np.prod(size))
        made: dict[str, Any] = {} if kind == "LIBoxCell" else {"v_th": even(0.25, 0.35, count).reshape(size)}
        if kind != "IAFCell":
            made |= {"tau_mem_inv": even(80, 120, count).reshape(size), "v_leak": torch.zeros(size)}
        if kind == "LIFCell":
            made["tau_syn_inv"] = torch.full(size, 200.0)
        if given.get("reset_method") == "subtract":
            given["reset_method"] = reset.reset_subtract
        return getattr(package, kind)(of(**{**made, **given}), **({} if kind == "IAFCell" else {"dt": dt}))

    def net(*layers: Any) -> Any:
        import norse.torch as package

        return package.SequentialState(*layers)

    def one(kind: str = "LIFBoxCell", **options: Any) -> Any:
        return norse(lambda: net(layer(N_IN, 5, 8.0), cell(kind, **options)))

    return {
        "subtract-leak": Model("norse", one(reset_method="subtract", v_leak=even(0.05, 0.2)), {"reset": "subtract"}),
        "reset-by-neuron": Model("norse", one(v_reset=even(-0.3, 0.1)), {"v_reset": even(-0.3, 0.1)}),
        "current-reset-leak": Model("norse", one("LIFCell", v_reset=even(-0.3, -0.3), v_leak=even(-0.1, 0.1)), {"v_reset": "-0.3"}),
        "current-dt-export": Model("norse", norse(lambda: net(layer(N_IN, 5, 16.0), cell("LIFCell", dt=5e-4)), dt=0.01), {"dt": "0.0005", "tau_scale": "100"}),
        "current-almost-a-step": Model("norse", one("LIFCell", tau_syn_inv=even(300, 990), tau_mem_inv=even(100, 990))),
        "current-below-a-step": Model("norse", one("LIFCell", tau_syn_inv=even(300, 1500)), lost="below its time step"),
        "membrane-below-a-step": Model("norse", one(tau_mem_inv=even(100, 1200)), lost="below its time step"),
        "some-never-leak": Model("norse", one(tau_mem_inv=even(0, 120))),
        "heaviside": Model("norse", one(method="heaviside")),
        "mixed": Model("norse", norse(lambda: net(layer(N_IN, 8, 8.0), cell("LIFCell", 8), layer(8, 8, 8.0), cell("LIFBoxCell", 8), layer(8, 8, 2.0), cell("IAFCell", 8), layer(8, 5, 2.0), cell("LIBoxCell")))),
        "readout-leak": Model("norse", norse(lambda: net(layer(N_IN, 8, 8.0), cell(n=8), layer(8, 5, 2.0), cell("LIBoxCell", v_leak=even(-0.1, 0.1))))),
        "nested": Model("norse", norse(lambda: net(net(layer(N_IN, 8, 8.0), cell(n=8)), net(layer(8, 5, 8.0), cell("LIFCell"))))),
        "slow-and-fast": Model("norse", norse(lambda: net(layer(N_IN, 8, 8.0), cell(n=8, tau_mem_inv=even(0.4, 0.6, 8), v_th=even(0.005, 0.01, 8)), layer(8, 5, 8.0), cell())), {"tau_scale": "1000"}),
        "reflect": Model("norse", norse(lambda: net(conv(2, 4, 15.0, padding=1, padding_mode="reflect"), cell(n=(4, 9, 7))), PICTURE), {"layers": "reflect"}, "padding_mode", PICTURE),
    }


def _sinabs() -> dict[str, Model]:
    def of(kind: str = "LIF", n: int = 5, **given: Any) -> Any:
        import sinabs.layers as sl
        from sinabs import activation

        made: dict[str, Any] = {} if kind.startswith("ExpLeak") else {"spike_threshold": even(0.9, 1.1, n)}
        if not kind.startswith("IAF"):
            made["tau_mem"] = even(10, 30, n)
        if kind.endswith("Squeeze"):
            made["batch_size"] = B
        given = {key: eval(value, vars(activation).copy()) if isinstance(value, str) else value for key, value in given.items()}
        return getattr(sl, kind)(**{**made, **given})

    def one(kind: str = "LIF", gain: float = 15.0, **given: Any) -> Any:
        return sinabs(lambda: nn.Sequential(layer(N_IN, 5, gain), of(kind, **given)))

    def pool(*size: int) -> Any:
        import sinabs.layers as sl

        return sl.SumPool2d(size)

    plain = {"kind": "IAFSqueeze", "spike_threshold": torch.tensor(0.7)}
    zero, single = {"reset_fn": "MembraneReset()"}, {"spike_fn": "SingleSpike"}
    return {
        "max-zero": Model("sinabs", one(spike_fn="MaxSpike(2)", **zero), {"max_spikes": "2", "reset": "zero"}),
        "single-floor": Model("sinabs", one(**single, min_v_mem=-0.2), {"max_spikes": "1", "min_v_mem": "-0.2"}),
        "zero-floor": Model("sinabs", one(**zero, min_v_mem=-0.2), {"reset": "zero", "min_v_mem": "-0.2"}),
        "floor-above-0": Model("sinabs", one(min_v_mem=0.1), {"min_v_mem": "0.1"}),
        "floor-by-neuron": Model("sinabs", one(min_v_mem=even(-0.5, -0.1)), {"min_v_mem": even(-0.5, -0.1)}),
        "current-floor": Model("sinabs", one("IAF", 3.0, min_v_mem=-0.2, tau_syn=3.0), {"min_v_mem": "-0.2", "tau_syn": "3"}),
        "current-single-zero": Model("sinabs", one(tau_syn=4.0, **single, **zero), {"tau_syn": "4", "max_spikes": "1", "reset": "zero"}),
        "current-by-neuron": Model("sinabs", one(tau_syn=even(2, 6)), {"tau_syn": even(2, 6)}),
        "subtract-value-single": Model("sinabs", one(reset_fn="MembraneSubtract(0.5)", **single), {"subtract_value": "0.5"}, "subtract_value"),
        "unscaled-zero-max": Model("sinabs", one(gain=4.0, norm_input=False, spike_fn="MaxSpike(3)", **zero), {"norm_input": "false", "reset": "zero", "max_spikes": "3"}),
        "thresholds-apart": Model("sinabs", one("IAF", 3.0, spike_threshold=even(0.3, 2.0))),
        "mixed": Model("sinabs", sinabs(lambda: nn.Sequential(layer(N_IN, 8, 15.0), of(n=8), layer(8, 8, 3.0), of("IAF", 8), layer(8, 5, 1.0), of("ExpLeak")))),
        "readout-scaled": Model("sinabs", sinabs(lambda: nn.Sequential(layer(N_IN, 8, 15.0), of(n=8), layer(8, 5, 1.0), of("ExpLeak", norm_input=True))), {"norm_input": "true"}),
        "nested": Model("sinabs", sinabs(lambda: nn.Sequential(nn.Sequential(layer(N_IN, 8, 15.0), of(n=8)), nn.Sequential(nn.Sequential(layer(8, 5, 4.0)), of("IAF"))))),
        "squeezed": Model("sinabs", sinabs(lambda: nn.Sequential(layer(N_IN, 8, 15.0), of("LIFSqueeze", 8), layer(8, 5, 3.0), of("IAFSqueeze")))),
        "image": Model("sinabs", sinabs(lambda: nn.Sequential(conv(2, 4, stride=(2, 1), groups=2, bias=False), of(**plain), pool(2, 1), nn.Flatten(), layer(40, 5, 2.0), of("IAFSqueeze")), PICTURE), shape=PICTURE),
        "image-single-floor": Model("sinabs", sinabs(lambda: nn.Sequential(conv(2, 3, 9.0), of(**plain, **single, min_v_mem=-1.0), pool(2, 2), nn.Flatten(), layer(18, 5, 3.0), of("IAFSqueeze", **single, min_v_mem=-1.0)), PICTURE), {"max_spikes": "1", "min_v_mem": "-1"}, shape=PICTURE),
        "image-flattened-twice": Model("sinabs", sinabs(lambda: nn.Sequential(conv(2, 3), of(**plain), nn.Flatten(2), nn.Flatten(), layer(105, 5, 2.0), of("IAFSqueeze")), PICTURE), shape=PICTURE),
        "line": Model("sinabs", sinabs(lambda: nn.Sequential(nn.Conv1d(2, 3, 3, stride=2, padding=1), of("IAFSqueeze", spike_threshold=torch.tensor(0.3)), nn.Flatten(), layer(15, 5, 2.0), of("IAFSqueeze")), (2, 9)), shape=(2, 9)),
    }


def _rockpool() -> dict[str, Model]:
    def of(kind: str = "LIFTorch", n: int = 5, **given: Any) -> Any:
        import rockpool.nn.modules as rm

        made: dict[str, Any] = {"threshold": even(0.8, 1.2, n), "bias": torch.zeros(n), "dt": 1e-3}
        if "leak_mode" not in given:
            made |= {"tau_mem": even(0.01, 0.03, n)} | ({"tau_syn": even(0.005, 0.02, n)} if kind == "LIFTorch" else {})
        return getattr(rm, kind)((n,), **{**made, **given})

    def readout(**given: Any) -> Any:
        import rockpool.nn.modules as rm

        return rm.ExpSynTorch((5,), tau=even(0.005, 0.02), dt=1e-3, **given)

    def linear(n_in: int, n_out: int, gain: float = 1.5, has_bias: bool = False) -> Any:
        import rockpool.nn.modules as rm

        made = rm.LinearTorch((n_in, n_out), has_bias=has_bias)
        made.weight.data *= gain
        if has_bias:
            made.bias.data = even(-0.1, 0.1, n_out)
        return made

    def net(*layers: Any) -> Any:
        from rockpool.nn.combinators import Sequential

        return Sequential(*layers)

    def residual(*layers: Any) -> Any:
        from rockpool.nn.combinators import Residual

        return Residual(*layers)

    def one(kind: str = "LIFTorch", gain: float = 1.5, **given: Any) -> Any:
        return rockpool(lambda: net(linear(N_IN, 5, gain), of(kind, **given)))

    dts = rockpool(lambda: net(linear(N_IN, 8), of(n=8, dt=1e-3), linear(8, 5), of(dt=2e-3)))
    return {
        "decays": Model("rockpool", one(leak_mode="decays", alpha=even(0.7, 0.9), beta=even(0.6, 0.95))),
        "bitshifts": Model("rockpool", one(leak_mode="bitshifts", dash_mem=even(2, 4), dash_syn=even(1, 5))),
        "bias-spikes": Model("rockpool", one(bias=torch.full((5,), 0.1), max_spikes_per_dt=1, gain=3.0), {"bias": "0.1", "max_spikes": "1"}),
        "bias-negative": Model("rockpool", one(bias=torch.full((5,), -0.05), gain=3.0), {"bias": "-0.05"}),
        "bias-by-neuron-spikes": Model("rockpool", one(bias=even(-0.05, 0.2), max_spikes_per_dt=2, gain=3.0), {"bias": even(-0.05, 0.2), "max_spikes": "2"}),
        "dt-three-digits": Model("rockpool", one(dt=1.25e-3)),
        "dt-five-digits": Model("rockpool", one(dt=1.2345e-3)),
        "dts": Model("rockpool", dts, lost="time steps of 0.001 and 0.002 s"),
        "dt-said": Model("rockpool,dt=0.001", dts, lost="dt of '3_LIFTorch' cannot be 0.001"),
        "dts-said": Model("rockpool,1_LIFTorch:dt=0.001,3_LIFTorch:dt=0.002", dts, lost="time steps of 0.001 and 0.002 s"),
        "one-tau": Model("rockpool", one(tau_mem=torch.tensor(0.02), tau_syn=torch.tensor(0.01), threshold=torch.tensor(1.0))),
        "below-a-step": Model("rockpool", one(tau_mem=even(0.0005, 0.002), gain=4.0)),
        "weights-bias": Model("rockpool", rockpool(lambda: net(linear(N_IN, 8, has_bias=True), of(n=8), linear(8, 5, has_bias=True), of()))),
        "mixed": Model("rockpool", rockpool(lambda: net(linear(N_IN, 8), of(n=8), linear(8, 5), of("LIFNeuronTorch")))),
        "nested": Model("rockpool", rockpool(lambda: net(net(linear(N_IN, 8), of(n=8)), net(linear(8, 5), of())))),
        "readout": Model("rockpool", rockpool(lambda: net(linear(N_IN, 8), of(n=8), linear(8, 5), readout()))),
        "readout-noise": Model("rockpool,1_LIFTorch:noise_std=0", rockpool(lambda: net(linear(N_IN, 8), of(n=8), linear(8, 5), readout(noise_std=1.0))), {"noise_std": "1"}, "noise_std of '3_ExpSynTorch'"),
        "recurrent-bias": Model("rockpool", one(has_rec=True, bias=even(0, 0.1)), {"w_rec": "there"}, "w_rec"),
        "residual": Model("rockpool", rockpool(lambda: net(linear(N_IN, 8), of(n=8), residual(linear(8, 8), of(n=8)), linear(8, 5), of())), lost="no edge leads to"),
    }


def _spikingjelly() -> dict[str, Model]:
    def of(kind: str = "LIFNode", **given: Any) -> Any:
        from spikingjelly.activation_based import neuron

        made = {"CUBALIFNode": {"c_decay": 0.4, "v_decay": 0.8}, "LIFNode": {"tau": 3.0}}.get(kind, {})
        return getattr(neuron, kind)(**{**made, **given})

    def many(name: str, *args: Any, **given: Any) -> Any:
        from spikingjelly.activation_based import layer as layers

        return getattr(layers, name)(*args, **given)

    def smooth() -> Any:
        from spikingjelly.activation_based import surrogate

        return surrogate.Sigmoid(spiking=False)

    def both(kind: str = "LIFNode", gain: float = 6.0, to_nir: dict[str, float] | None = None, **given: Any) -> Any:
        return spikingjelly(lambda: dense(of(kind, **given), of(kind, **given), gain=gain), **(to_nir or {}))

    def steps(step: Callable[..., Any]) -> Any:
        class Net(Steps):  # its forward is traced, which a function of another object is not
            def forward(self, x: Any) -> Any:
                s = self.lif1(self.fc1(x))
                return step(self, s, self.fc2(s))

        def make() -> Any:
            made = Net(step, fc1=layer(N_IN, 8, 6.0), lif1=of(), fc2=layer(8, 8, 6.0), lif=of())
            made.offset = nn.Parameter(torch.full((8,), 0.5))
            return made

        return spikingjelly(make)

    def shared_neurons() -> Any:
        class Net(Steps):
            def forward(self, x: Any) -> Any:
                return self.lif(self.fc2(self.lif(self.fc1(x))))

        return Net(lambda *_: None, fc1=layer(N_IN, 8, 6.0), fc2=layer(8, 8, 6.0), lif=of())

    added = "adds only outputs of different modules"
    return {
        "unscaled-reset": Model("spikingjelly", both(decay_input=False, v_reset=-0.3, gain=3.0)),
        "unscaled-threshold-dt": Model("spikingjelly", both(decay_input=False, v_threshold=0.7, gain=2.0, to_nir={"dt": 2e-3})),
        "tau-long": Model("spikingjelly", both(tau=50.0, gain=200.0)),
        "tau-short-reset": Model("spikingjelly", both(tau=1.5, v_reset=0.2)),
        "current-reset": Model("spikingjelly", both("CUBALIFNode", v_reset=-0.3, v_threshold=0.8, gain=2.0)),
        "no-current-no-leak": Model("spikingjelly", both("CUBALIFNode", c_decay=0.0, v_decay=0.0)),
        "current-dt": Model("spikingjelly", both("CUBALIFNode", c_decay=0.9, gain=1.0, to_nir={"dt": 1e-3})),
        "integrate-reset-dt": Model("spikingjelly", both("IFNode", v_reset=-0.3, gain=3.0, to_nir={"dt": 1e-3})),
        "learned-unscaled-reset": Model("spikingjelly", both("ParametricLIFNode", init_tau=5.0, decay_input=False, v_reset=-0.2, gain=3.0)),
        "mixed": Model("spikingjelly", spikingjelly(lambda: dense(of("IFNode"), of("CUBALIFNode"), of(), gain=6.0, n=(N_IN, 8, 8, 5)))),
        "mixed-dt": Model("spikingjelly", spikingjelly(lambda: dense(of("IFNode"), of(), gain=6.0), dt=1e-3)),
        "nested": Model("spikingjelly", spikingjelly(lambda: nn.Sequential(dense(of("IFNode"), of("IFNode"), gain=4.0), nn.Sequential(nn.Sequential(layer(5, 4, 9.0)), of())))),
        "many-steps": Model("spikingjelly", spikingjelly(lambda: nn.Sequential(many("Linear", N_IN, 8), of(v_threshold=0.2), many("Linear", 8, 5), of(v_threshold=0.1)), many=True)),
        "skip": Model("spikingjelly", steps(lambda net, s, h: net.lif(h + s))),
        "sum-at-last": Model("spikingjelly", steps(lambda net, s, h: net.lif(h) + s)),
        "shared-weights": Model("spikingjelly", steps(lambda net, s, h: net.lif(net.fc2(h)))),
        "shared-neurons": Model("spikingjelly", spikingjelly(shared_neurons), {"called": "again"}, "called of 'lif_1'"),
        "number-added": Model("spikingjelly", steps(lambda net, s, h: net.lif(h + 0.5)), unwritten=added),
        "parameter-added": Model("spikingjelly", steps(lambda net, s, h: net.lif(h + net.offset)), unwritten=added),
        "same-added": Model("spikingjelly", steps(lambda net, s, h: net.lif(h + h)), unwritten=added),
        "not-spiking": Model("spikingjelly", spikingjelly(lambda: dense(of(surrogate_function=smooth()), of(), gain=12.0)), unwritten="neurons spike"),
        "image": Model("spikingjelly", spikingjelly(lambda: nn.Sequential(conv(2, 4, 5.0, stride=(2, 1), bias=False), of("IFNode"), nn.AvgPool2d(2), nn.Flatten(), layer(16, 5, 9.0), of()), PICTURE), shape=PICTURE),
        "image-padded": Model("spikingjelly", spikingjelly(lambda: nn.Sequential(conv(2, 4, 5.0, padding="same", dilation=2), of("IFNode"), nn.AvgPool2d(3, 2, 1), nn.Flatten(), layer(80, 5, 9.0), of()), PICTURE), shape=PICTURE),
        "image-many-steps": Model("spikingjelly", spikingjelly(lambda: nn.Sequential(many("Conv2d", 2, 4, 3, padding=1), of("IFNode", v_threshold=0.3), many("AvgPool2d", 2, 2), many("Flatten"), many("Linear", 48, 5), of(v_threshold=0.1)), PICTURE, many=True), shape=PICTURE),
        "line": Model("spikingjelly", spikingjelly(lambda: nn.Sequential(nn.Conv1d(2, 3, 3, stride=2, padding=1), of("IFNode", v_threshold=0.4), nn.Flatten(), layer(15, 5, 6.0), of()), (2, 9)), shape=(2, 9)),
    }
# fmt: on


CASES = {
    f"{name}-{option}": model
    for name, models in {
        "snntorch": _snntorch, "norse": _norse, "sinabs": _sinabs, "rockpool": _rockpool, "spikingjelly": _spikingjelly,
    }.items()
    for option, model in models().items()
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_models_are_read_right_or_asked_about_or_refused(
    case: Model, exported: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    path, x, expected = exported
    assert expected.any()
    if case.unwritten is None:
        check_unasked(path, x, expected)
    answers = {key: as_text(tmp_path / f"{key}.npy", value) for key, value in case.answers.items()}
    if case.lost is not None:
        with pytest.raises(DeployError, match=case.lost):
            answered(path, case, answers)
        return
    network = answered(path, case, answers)
    if case.unwritten is not None:
        assert any(line.startswith("assumed: ") and case.unwritten in line for line in network.evidence)
        return
    assert_gives(network, x, expected)


def as_text(path: Path, value: Any) -> str:
    """Return an answer as it is written behind a key; a value a neuron goes to a file."""
    if isinstance(value, str):
        return value
    np.save(path, value.numpy())
    return f"@{path}"
