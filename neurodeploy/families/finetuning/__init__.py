"""The parts that the trainers of all chip families share."""
