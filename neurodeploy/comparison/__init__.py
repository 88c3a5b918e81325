"""Recordings compared with each other: equalities, agreement, accuracy and the first difference."""
