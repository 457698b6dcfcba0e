"""SR3 in ComfyUI: put this folder into ComfyUI's `custom_nodes`."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
