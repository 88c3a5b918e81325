"""Intel Loihi 1 and 2: registers, exact neurons, scales, bounds and the integer step."""
