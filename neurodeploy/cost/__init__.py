"""From event counters to time and energy."""
