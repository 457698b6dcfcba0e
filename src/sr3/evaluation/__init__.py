"""Evaluation of methods against true images: metrics with intervals, as a table, a file and a page."""
