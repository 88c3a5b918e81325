"""Input data and its encodings, and the decisions that are read off what a network sends."""
