"""Small networks of each framework, for golden data; each function needs only its own framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VECTOR, IMAGE = (5,), (2, 4, 4)


@dataclass(frozen=True, slots=True)
class Golden:
    """One golden network.

    framework: package that runs it. build: makes it. shape: of one step's input.
    own_dialect: how to read what the framework's own exporter writes, None if that loses too much or fails.
    """

    framework: str
    build: Callable[[], Any]
    shape: tuple[int, ...] = VECTOR
    own_dialect: str | None = None


def _snntorch(neuron: str, seed: int = 0, **options: Any) -> Callable[[], Any]:
    """Return a factory of two layers of one neuron, whose parameters snnTorch's own exporter takes: one per neuron."""

    def build() -> Any:
        import snntorch
        import torch
        from torch import nn

        torch.manual_seed(seed)
        kind = getattr(snntorch, neuron)
        layers: list[Any] = []
        for n_in, n_out in ((5, 8), (8, 4)):
            given = dict(options)
            if neuron.startswith("R"):
                given["linear_features"] = n_out
            if "yn" in neuron:
                given["alpha"] = torch.linspace(0.3, 0.8, n_out)
            beta, threshold = torch.linspace(0.6, 0.95, n_out), torch.linspace(0.1, 0.5, n_out)
            neurons = kind(beta=beta, threshold=threshold, init_hidden=True, **given)
            layers += [nn.Linear(n_in, n_out), neurons]
        return nn.Sequential(*layers)

    return build


def _seeded(build: Callable[[Any, Any], Any], seed: int = 0) -> Callable[[], Any]:
    """Return a factory that seeds torch and is given torch and torch.nn."""

    def make() -> Any:
        import torch
        from torch import nn

        torch.manual_seed(seed)
        return build(torch, nn)

    return make


def _norse_box(v_reset: float, v_leak: float = 0.0, subtract: bool = False, readout: bool = False) -> Callable[[], Any]:
    def build(torch: Any, nn: Any) -> Any:
        from norse.torch import SequentialState
        from norse.torch.functional.leaky_integrator_box import LIBoxParameters
        from norse.torch.functional.lif_box import LIFBoxParameters
        from norse.torch.functional.reset import reset_subtract, reset_value
        from norse.torch.module.leaky_integrator_box import LIBoxCell
        from norse.torch.module.lif_box import LIFBoxCell

        def neurons(n: int) -> Any:
            rates = torch.linspace(200.0, 700.0, n)
            shared = (torch.full((n,), value) for value in (v_leak, 0.1, v_reset))
            method = reset_subtract if subtract else reset_value
            return LIFBoxCell(LIFBoxParameters(rates, *shared, reset_method=method))

        layers = [nn.Linear(5, 8), neurons(8), nn.Linear(8, 4)]
        if readout:
            layers.append(LIBoxCell(LIBoxParameters(torch.full((4,), 300.0), torch.full((4,), v_leak))))
        else:
            layers.append(neurons(4))
        return SequentialState(*layers)

    return _seeded(build)


def _norse_cuba(torch: Any, nn: Any) -> Any:
    from norse.torch import LIFCell, SequentialState
    from norse.torch.functional.lif import LIFParameters

    def neurons(n: int, v_reset: float) -> Any:
        syn, mem = torch.linspace(150.0, 300.0, n), torch.linspace(80.0, 200.0, n)
        return LIFCell(LIFParameters(syn, mem, torch.zeros(n), torch.full((n,), 0.1), torch.full((n,), v_reset)))

    return SequentialState(nn.Linear(5, 8), neurons(8, 0.0), nn.Linear(8, 4), neurons(4, -0.05))


def _norse_iaf(torch: Any, nn: Any) -> Any:
    from norse.torch import SequentialState
    from norse.torch.functional.iaf import IAFParameters
    from norse.torch.module.iaf import IAFCell

    def neurons(n: int) -> Any:
        return IAFCell(IAFParameters(torch.linspace(0.2, 0.8, n), torch.zeros(n)))

    return SequentialState(nn.Linear(5, 8), neurons(8), nn.Linear(8, 4), neurons(4))


def _norse_recurrent(torch: Any, nn: Any) -> Any:
    from norse.torch import SequentialState
    from norse.torch.functional.lif import LIFParameters
    from norse.torch.module.lif import LIFRecurrentCell

    return SequentialState(nn.Linear(5, 6), LIFRecurrentCell(6, 8, LIFParameters(v_th=torch.as_tensor(0.1))))


def _sinabs(*kinds: str, seed: int = 0, **options: Any) -> Callable[[], Any]:
    """Return a factory of two layers, with ``spike`` and ``reset`` as names, and one time constant per neuron."""

    def build(torch: Any, nn: Any) -> Any:
        from sinabs import activation, layers

        made: list[Any] = []
        for kind, (n_in, n_out) in zip(kinds, ((5, 8), (8, 4)), strict=True):
            given = {key: value for key, value in options.items() if key not in ("spike", "reset")}
            if kind.startswith("ExpLeak"):
                given = {"norm_input": options.get("norm_input", False)}
            else:
                given["spike_threshold"] = torch.linspace(0.15, 0.4, n_out) * (0.2 if options.get("norm_input") else 1)
                given["spike_fn"] = getattr(activation, options.get("spike", "MultiSpike"))
                given["reset_fn"] = getattr(activation, options.get("reset", "MembraneSubtract"))()
            if not kind.startswith("IAF"):
                given["tau_mem"] = torch.linspace(3.0, 9.0, n_out)
            if kind.endswith("Squeeze"):
                given["batch_size"] = 2
            made += [nn.Linear(n_in, n_out), getattr(layers, kind)(**given)]
        return nn.Sequential(*made)

    return _seeded(build, seed)


def _sinabs_conv(torch: Any, nn: Any) -> Any:
    from sinabs import layers

    def neurons() -> Any:
        return layers.IAFSqueeze(batch_size=2, spike_threshold=torch.tensor(0.2), min_v_mem=-1.0)

    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), neurons(), layers.SumPool2d(2), nn.Conv2d(3, 2, 2),
        neurons(), nn.Flatten(), nn.Linear(2, 3), neurons(),
    )  # fmt: skip


def _spikingjelly(kind: str, mode: str = "s", seed: int = 0, **options: Any) -> Callable[[], Any]:
    def build(torch: Any, nn: Any) -> Any:
        from spikingjelly.activation_based import functional, layer, neuron

        make = getattr(neuron, kind)
        net = nn.Sequential(layer.Linear(5, 8), make(**options), layer.Linear(8, 4), make(**options))
        functional.set_step_mode(net, mode)
        return net

    return _seeded(build, seed)


def _spikingjelly_conv(torch: Any, nn: Any) -> Any:
    from spikingjelly.activation_based import functional, layer, neuron

    net = nn.Sequential(
        layer.Conv2d(2, 3, 3, padding=1), neuron.IFNode(v_threshold=0.3), layer.AvgPool2d(2),
        layer.Conv2d(3, 2, 2, bias=False), neuron.LIFNode(tau=1.5, v_threshold=0.05), layer.Flatten(),
        layer.Linear(2, 3), neuron.IFNode(v_threshold=0.2),
    )  # fmt: skip
    functional.set_step_mode(net, "m")
    return net


def _rockpool(seed: int = 0, readout: bool = False, membrane: bool = False, **options: Any) -> Callable[[], Any]:
    def build(torch: Any, nn: Any) -> Any:
        from rockpool.nn.combinators import Sequential
        from rockpool.nn.modules import ExpSynTorch, LIFNeuronTorch, LIFTorch, LinearTorch

        def neurons(n: int) -> Any:
            bias = torch.linspace(-0.02, 0.05, n) if options.get("bias") else torch.zeros(n)
            given = {key: value for key, value in options.items() if key != "bias"}
            given |= {"threshold": torch.full((n,), 0.3), "bias": bias, "dt": 1e-3}
            if membrane:
                return LIFNeuronTorch(n, tau_mem=torch.linspace(0.005, 0.02, n), **given)
            taus = {"tau_mem": torch.linspace(0.005, 0.02, n), "tau_syn": torch.linspace(0.003, 0.008, n)[:, None]}
            return LIFTorch(n, **taus, **given)

        last = ExpSynTorch(4, tau=torch.linspace(0.005, 0.01, 4), dt=1e-3) if readout else neurons(4)
        return Sequential(LinearTorch((5, 8)), neurons(8), LinearTorch((8, 4)), last)

    return _seeded(build, seed)


CASES: dict[str, Golden] = {
    "snntorch-leaky-subtract": Golden("snntorch", _snntorch("Leaky"), own_dialect="snntorch,reset=subtract"),
    "snntorch-leaky-zero": Golden(
        "snntorch", _snntorch("Leaky", reset_mechanism="zero"), own_dialect="snntorch,reset=zero"
    ),
    "snntorch-leaky-none": Golden(
        "snntorch", _snntorch("Leaky", reset_mechanism="none"), own_dialect="snntorch,reset=none"
    ),
    "snntorch-leaky-same-step": Golden(
        "snntorch", _snntorch("Leaky", reset_delay=False), own_dialect="snntorch,reset=subtract,reset_delay=false"
    ),
    "snntorch-leaky-zero-same-step": Golden(
        "snntorch",
        _snntorch("Leaky", reset_mechanism="zero", reset_delay=False),
        own_dialect="snntorch,reset=zero,reset_delay=false",
    ),
    "snntorch-synaptic-subtract": Golden("snntorch", _snntorch("Synaptic"), own_dialect="snntorch,reset=subtract"),
    "snntorch-synaptic-zero": Golden(
        "snntorch", _snntorch("Synaptic", reset_mechanism="zero"), own_dialect="snntorch,reset=zero"
    ),
    "snntorch-rleaky-subtract": Golden("snntorch", _snntorch("RLeaky"), own_dialect="snntorch,reset=subtract"),
    "snntorch-rleaky-zero": Golden(
        "snntorch", _snntorch("RLeaky", reset_mechanism="zero"), own_dialect="snntorch,reset=zero"
    ),
    "snntorch-rsynaptic-subtract": Golden("snntorch", _snntorch("RSynaptic"), own_dialect="snntorch,reset=subtract"),
    "snntorch-rsynaptic-zero": Golden(
        "snntorch", _snntorch("RSynaptic", reset_mechanism="zero"), own_dialect="snntorch,reset=zero"
    ),
    "norse-box": Golden("norse", _norse_box(0.0), own_dialect="norse,v_reset=0"),
    "norse-box-v-reset": Golden("norse", _norse_box(-0.07), own_dialect="norse,v_reset=-0.07"),
    "norse-box-leak": Golden("norse", _norse_box(0.0, v_leak=0.03), own_dialect="norse,v_reset=0"),
    "norse-box-subtract": Golden("norse", _norse_box(0.0, subtract=True), own_dialect="norse,reset=subtract"),
    "norse-box-readout": Golden("norse", _norse_box(0.0, 0.02, readout=True), own_dialect="norse,v_reset=0"),
    "norse-cuba": Golden("norse", _seeded(_norse_cuba), own_dialect="norse,1:v_reset=0,3:v_reset=-0.05"),
    "norse-iaf": Golden("norse", _seeded(_norse_iaf), own_dialect="norse,v_reset=0"),
    "norse-recurrent": Golden("norse", _seeded(_norse_recurrent)),
    "sinabs-iaf": Golden(
        "sinabs", _sinabs("IAFSqueeze", "IAFSqueeze"), own_dialect="sinabs,reset=subtract,max_spikes=0,min_v_mem=none"
    ),
    "sinabs-iaf-single-zero": Golden(
        "sinabs",
        _sinabs("IAFSqueeze", "IAFSqueeze", spike="SingleSpike", reset="MembraneReset", min_v_mem=-0.5),
        own_dialect="sinabs,reset=zero,max_spikes=1,min_v_mem=-0.5",
    ),
    "sinabs-iaf-tau-syn": Golden("sinabs", _sinabs("IAF", "IAF", tau_syn=3.0)),
    "sinabs-lif-norm-input": Golden(
        "sinabs",
        _sinabs("LIFSqueeze", "LIFSqueeze", norm_input=True),
        own_dialect="sinabs,reset=subtract,max_spikes=0,min_v_mem=none,norm_input=true",
    ),
    "sinabs-lif": Golden(
        "sinabs",
        _sinabs("LIFSqueeze", "ExpLeakSqueeze", norm_input=False, spike="SingleSpike"),
        own_dialect="sinabs,reset=subtract,max_spikes=1,min_v_mem=none,norm_input=false",
    ),
    "sinabs-lif-tau-syn": Golden("sinabs", _sinabs("LIF", "LIF", norm_input=True, tau_syn=4.0, min_v_mem=-0.3)),
    "sinabs-conv": Golden("sinabs", _seeded(_sinabs_conv), IMAGE, "sinabs,reset=subtract,max_spikes=0,min_v_mem=-1"),
    "spikingjelly-if": Golden("spikingjelly", _spikingjelly("IFNode", v_threshold=0.3), own_dialect="spikingjelly"),
    "spikingjelly-if-soft": Golden("spikingjelly", _spikingjelly("IFNode", v_threshold=0.3, v_reset=None)),
    "spikingjelly-lif": Golden(
        "spikingjelly", _spikingjelly("LIFNode", "m", tau=1.7, v_threshold=0.1), own_dialect="spikingjelly"
    ),
    "spikingjelly-lif-no-decay-input": Golden(
        "spikingjelly",
        _spikingjelly("LIFNode", tau=2.5, decay_input=False, v_threshold=0.2),
        own_dialect="spikingjelly",
    ),
    "spikingjelly-lif-v-reset": Golden(
        "spikingjelly", _spikingjelly("LIFNode", tau=2.0, v_reset=-0.05, v_threshold=0.1), own_dialect="spikingjelly"
    ),
    "spikingjelly-plif-soft": Golden(
        "spikingjelly", _spikingjelly("ParametricLIFNode", init_tau=2.3, v_threshold=0.1, v_reset=None)
    ),
    "spikingjelly-cuba": Golden(
        "spikingjelly", _spikingjelly("CUBALIFNode", c_decay=0.4, v_threshold=0.2), own_dialect="spikingjelly"
    ),
    "spikingjelly-conv": Golden("spikingjelly", _seeded(_spikingjelly_conv), IMAGE, "spikingjelly"),
    "rockpool-lif": Golden("rockpool", _rockpool(), own_dialect="rockpool,bias=0,max_spikes=0"),
    "rockpool-lif-bias": Golden("rockpool", _rockpool(bias=True, max_spikes_per_dt=1)),
    "rockpool-lif-three-spikes": Golden(
        "rockpool", _rockpool(max_spikes_per_dt=3), own_dialect="rockpool,bias=0,max_spikes=3"
    ),
    "rockpool-lif-recurrent": Golden("rockpool", _rockpool(has_rec=True, max_spikes_per_dt=1)),
    "rockpool-membrane-readout": Golden("rockpool", _rockpool(membrane=True, readout=True, bias=True)),
}
"""Each with the framework's own exporter where what it writes can still be read as the network that ran."""


def __getattr__(name: str) -> Callable[[], Any]:
    """Return the factory of a case, whose name has underscores here, so that an export can name it."""
    case = CASES.get(name.replace("_", "-"))
    if case is None:
        raise AttributeError(name)
    return case.build
