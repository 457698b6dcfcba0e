"""From a low-resolution picture to samples of its high-resolution versions."""
