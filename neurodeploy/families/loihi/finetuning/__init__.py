"""Training while the forward pass computes in the chip's integers."""
