"""What the HTTP servers of sr3 have in common: the process that serves, and limits on requests."""
