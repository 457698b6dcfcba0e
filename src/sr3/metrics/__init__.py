"""Metrics of single images, of sample sets and of whole sets."""
