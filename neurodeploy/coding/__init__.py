"""What enters a network and what is decided of what it sends: data, encodings, scores."""
