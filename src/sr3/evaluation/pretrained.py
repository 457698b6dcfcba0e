"""Published networks as methods, loaded by the package spandrel (extra `spandrel`).

Files are safetensors, or .pth read without running their code (`weights_only`). Pictures go in as [0, 1].
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
from sr3.evaluation.cases import Case, rounded
from sr3.evaluation.methods import input_of
from sr3.runtime.device import choose_device
from sr3.types import Image

__all__ = ["PREFIX", "PretrainedMethod", "open_pretrained"]

PREFIX = "spandrel:"
"""What is put before a file for a network that spandrel is to recognise."""


@dataclass(frozen=True)
class PretrainedMethod:
    """A network that answers in one call; `network` is spandrel's descriptor."""

    name: str
    network: Any
    digest: str
    device: torch.device

    @property
    def scale(self) -> int:
        """Magnification."""
        return int(self.network.scale)

    def settings(self) -> dict[str, Any]:
        """Name the architecture, the file's SHA-256 and where it runs."""
        return {
            "kind": "pretrained",
            "architecture": self.network.architecture.name,
            "digest": self.digest,
            "device": str(self.device),
            "samples": 1,
        }

    def samples(self, case: Case) -> Image:
        """Enlarge the input; ImageError when the network cannot take it, CheckpointError when it fails."""
        low_res = input_of(case)
        found, wanted = low_res.shape[1], int(self.network.input_channels)
        if found != wanted and 1 not in (found, wanted):
            raise ImageError(f"{case.name}: has {found} channels, but {self.name} takes {wanted}")
        seen = low_res.transpose(0, 1) if wanted == 1 else low_res.expand(-1, wanted, -1, -1)
        answer = self._call(seen)
        if wanted == 1:
            answer = answer.transpose(0, 1)
        return rounded(answer.mean(1, keepdim=True) if found == 1 else answer, case.top)

    def first(self, case: Case) -> Image:
        """Enlarge the input."""
        return self.samples(case)

    @torch.no_grad()
    def _call(self, seen: Tensor) -> Tensor:
        try:
            answer: Tensor = self.network((seen.to(self.device) + 1) / 2)
        except Exception as error:  # of other people's code
            detail = " ".join(str(error).split())[-160:]
            raise CheckpointError(f"{self.name}: cannot enlarge these pictures: {detail}") from error
        return answer.float().cpu() * 2 - 1


def open_pretrained(name: str, where: str, *, device: str) -> PretrainedMethod:
    """Load a file by spandrel.

    Raises CheckpointError when it is missing, no weights or of no known architecture, or spandrel is not installed.
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
    except Exception as error:  # unknown architectures and misfits surface as almost anything
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: spandrel does not recognise it ({detail}); is it a network's weights?"
        ) from error
    if str(getattr(network.purpose, "value", network.purpose)) not in ("SR", "Restoration", "FaceSR"):
        raise CheckpointError(f"{path}: is a network for {network.purpose}, which enlarges nothing")
    return PretrainedMethod(name, network.eval(), digest_of(path), place)


def _read_weights(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path))
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError, ImportError) as error:
        detail = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path}: cannot be read as weights ({detail})") from error
    except Exception as error:  # pickle.UnpicklingError, and what damaged pickles raise
        raise CheckpointError(
            f"{path}: holds more than weights, or is damaged; give safetensors or a plain .pth"
        ) from error
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path}: holds no weights by name; give safetensors or a plain .pth")
    return {str(name): weight for name, weight in weights.items()}
