"""SynSense's own simulator of Xylo, which the user installs and which is called in a Python of its own."""
