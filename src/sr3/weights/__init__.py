"""Packaged weights, each with its model card."""
