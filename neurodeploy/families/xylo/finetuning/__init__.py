"""Training while the forward pass computes in the integers of Xylo."""
