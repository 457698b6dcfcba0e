"""Images: files, metadata, resizing, degradations, transparency."""
