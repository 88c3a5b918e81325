"""From a trained spiking network to a neuromorphic chip, with every loss accounted for."""

__version__ = "0.1.0"
