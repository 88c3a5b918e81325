"""Passes: plain functions from network to network."""
