"""Fine-tuning: a network trained further while it computes in the chip's own integers."""
