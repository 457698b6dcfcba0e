"""Training: the loop, its state, the moving average, and the run directory."""
