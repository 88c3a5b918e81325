"""Chip families: the arithmetic of their neurons, and how a float network becomes its integers."""
