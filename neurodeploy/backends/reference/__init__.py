"""The torch reference: a float network in its dialect, spike for spike as the framework computes it."""
