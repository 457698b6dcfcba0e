"""Training images: where they come from, how a pair is made, in which order they arrive."""
