"""Xylo of SynSense: registers, the integer step, limits of the chips."""
