"""Methods scored against truths: figures with intervals, as a table, a file and a page."""
