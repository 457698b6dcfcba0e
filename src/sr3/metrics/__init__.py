"""Figures of merit over pairs of pictures."""
