"""Model names and paths resolved to model files."""

from importlib import resources
from pathlib import Path

from sr3.errors import CheckpointError
from sr3.hub import fetch_model, is_address

__all__ = ["DEFAULT_MODEL", "REFINING_MODEL", "RESTORING_MODEL", "find_model", "packaged_models"]

DEFAULT_MODEL = "photos-x4-fast"
"""The model that is taken when none is named: it answers in one call."""
REFINING_MODEL = "photos-x4"
"""The model that is taken when none is named but steps, levels or a share of detail are asked for: it refines."""
RESTORING_MODEL = "photos-x4-web"
"""The model for images that are not clean."""


def packaged_models() -> dict[str, Path]:
    """Map the names of the models inside the package to their files."""
    folder = Path(str(resources.files("sr3"))) / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_model(name: str) -> Path:
    """Find a model: the name of a packaged one, a .safetensors path, the folder of a run, or hf:owner/name[@revision].

    Raises CheckpointError when there is none; for a model of the Hub as `sr3.hub.fetch_model`.
    """
    if is_address(name):
        return fetch_model(name)
    packaged = packaged_models()
    if name in packaged:
        return packaged[name]
    path = Path(name)
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise CheckpointError(
                f"{name}: this folder holds no model.safetensors; a run has one from its first save on"
            )
    if not path.is_file():
        names = ", ".join(packaged) or "none"
        raise CheckpointError(f"{name}: no packaged model (there are: {names}) and no file has this name")
    return path
