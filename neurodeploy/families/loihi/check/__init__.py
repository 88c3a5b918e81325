"""Check a program before it runs: bounds, observations on data, and remedies for what they show."""
