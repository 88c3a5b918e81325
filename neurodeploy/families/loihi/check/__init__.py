"""What is known of a program before it runs: bounds, observations on data, and what mends what they show."""
