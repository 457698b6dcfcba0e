"""SHA-256 of files."""

import hashlib
from pathlib import Path

__all__ = ["digest_of"]


def digest_of(path: Path) -> str:
    """Take the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
