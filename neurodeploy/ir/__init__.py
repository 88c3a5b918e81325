"""The nouns of the pipeline, frozen: networks, rules, synapses, plans, programs and their codes, recordings."""
