"""Recordings held against each other: equalities, agreement, accuracy and the first difference."""
