"""Intel's Lava simulator, in a process and a Python of its own."""
