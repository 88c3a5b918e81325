"""What is known of a program before it runs, and what the float model does on calibration data."""
