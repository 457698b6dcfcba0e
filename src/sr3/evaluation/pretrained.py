"""Published networks as methods, loaded by the package spandrel (extra `spandrel`).

Files are safetensors, or .pth read without running code (`weights_only`). Networks receive images in [0, 1].
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sr3.digest import digest_of
from sr3.errors import CheckpointError, ImageError
from sr3.evaluation.cases import Case
from sr3.evaluation.methods import input_of
from sr3.images.picture import rounded
from sr3.runtime.device import choose_device
from sr3.types import Image

__all__ = ["PREFIX", "PretrainedMethod", "open_pretrained"]

PREFIX = "spandrel:"
"""Prefix of a file that spandrel loads."""


@dataclass(frozen=True)
class PretrainedMethod:
    """A feed-forward network; `network` is the descriptor of spandrel."""

    name: str
    network: Any
    digest: str
    device: torch.device

    @property
    def scale(self) -> int:
        """Scale factor."""
        return int(self.network.scale)

    def settings(self) -> dict[str, Any]:
        """Describe the architecture, the SHA-256 of the file and the device."""
        return {
            "kind": "pretrained",
            "architecture": self.network.architecture.name,
            "digest": self.digest,
            "device": str(self.device),
            "samples": 1,
        }

    def samples(self, case: Case) -> Image:
        """Upscale the input; ImageError for channels that the network does not take, CheckpointError when it fails."""
        low_res = input_of(case)
        found, expected = low_res.shape[1], int(self.network.input_channels)
        if found != expected and 1 not in (found, expected):
            raise ImageError(f"{case.name}: has {found} channels, but {self.name} takes {expected}; give such images")
        seen = low_res.transpose(0, 1) if expected == 1 else low_res.expand(-1, expected, -1, -1)
        answer = self._call(seen)
        if expected == 1:
            answer = answer.transpose(0, 1)
        return rounded(answer.mean(1, keepdim=True) if found == 1 else answer, case.top)

    def first(self, case: Case) -> Image:
        """Upscale the input."""
        return self.samples(case)

    @torch.no_grad()
    def _call(self, seen: Tensor) -> Tensor:
        try:
            answer: Tensor = self.network((seen.to(self.device) + 1) / 2)
        except Exception as error:  # third-party code
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{self.name}: cannot upscale these images: {detail}") from error
        return answer.float().cpu() * 2 - 1


def open_pretrained(name: str, where: str, *, device: str) -> PretrainedMethod:
    """Load a file by spandrel.

    Raises CheckpointError when the file is missing, contains no weights, or has an unknown architecture, or when
    spandrel is not installed.
    """
    path, place = Path(where.removeprefix(PREFIX)), choose_device(device)
    weights = _read_weights(path)
    try:
        spandrel: Any = importlib.import_module("spandrel")
    except (ImportError, RuntimeError) as error:
        raise CheckpointError(
            f"{where}: spandrel or its torchvision is missing or broken; pip install 'sr3[spandrel]'"
        ) from error
    try:
        network = spandrel.ModelLoader(device=place).load_from_state_dict(spandrel.canonicalize_state_dict(weights))
    except Exception as error:  # unknown architectures and wrong shapes raise many types
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: spandrel does not recognise it ({detail}); is it a network's weights?"
        ) from error
    if str(getattr(network.purpose, "value", network.purpose)) not in ("SR", "Restoration", "FaceSR"):
        raise CheckpointError(f"{path}: is a network for {network.purpose}; give a super-resolution network")
    return PretrainedMethod(name, network.eval(), digest_of(path), place)


def _read_weights(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; check the path")
    try:
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path))
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError, ImportError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: cannot be read as weights ({detail})") from error
    except Exception as error:  # pickle.UnpicklingError, and other errors of damaged pickles
        raise CheckpointError(
            f"{path}: contains more than weights, or is damaged; give safetensors or a plain .pth"
        ) from error
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path}: contains no weights by name; give safetensors or a plain .pth")
    return {str(name): weight for name, weight in weights.items()}
