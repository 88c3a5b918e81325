"""The integer step compiled with numba: event-driven, a sample at a time."""
