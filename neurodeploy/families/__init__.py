"""Chip families: each folder holds all that only its chips know."""
