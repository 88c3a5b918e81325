"""Chips and the facts of each, with their sources: what `targets/*.toml` state, and files of users."""
