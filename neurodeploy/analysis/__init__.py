"""Calibration data, and what the float model does on it."""
