"""Population by population: scales, gains, rounding, and the codes that follow from them."""
