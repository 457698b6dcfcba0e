"""Images and files upscaled: sizes, memory, names, metadata, several samples, the public model."""
