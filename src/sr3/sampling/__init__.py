"""Samples of p(y | x) from tensors: conditions, tiles, samplers, corrections, generators and cascades."""
