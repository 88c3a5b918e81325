"""From float networks to integer programs."""
