"""Training: the loop, its state, the moving average, and the folder of a run."""
