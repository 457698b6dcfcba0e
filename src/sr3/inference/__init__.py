"""Inference: from a low-resolution image to samples of its high-resolution versions."""
