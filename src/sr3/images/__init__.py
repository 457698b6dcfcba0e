"""Pictures: files, resizing, transparency."""
