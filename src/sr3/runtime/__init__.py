"""Where and how the network runs: device, precision, threads, shares of several processes."""
