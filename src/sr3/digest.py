"""SHA-256 digests of files and of weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["digest_of", "digest_of_weights"]


def digest_of(path: Path) -> str:
    """Take the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_weights(weights: Mapping[str, Tensor]) -> str:
    """Take the SHA-256 of names and values of weights in the order of their names, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
