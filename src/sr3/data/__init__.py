"""Training images: where they are read from, how pairs are made, in which order they arrive."""
