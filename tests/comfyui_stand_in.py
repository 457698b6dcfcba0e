"""What the nodes use of ComfyUI: the modules of its own name, with the part of its interface that they call.

ComfyUI is no package that pip installs. Where a copy of it is there, `SR3_TEST_COMFYUI=FOLDER` has the tests use it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch


class Interrupted(BaseException):
    """ComfyUI's own derives from BaseException, too."""


@dataclass
class Port:
    """An input or output of a node."""

    id: str | None = None
    io_type: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def kind(io_type: str):
    """A type of inputs and outputs; both take only what ComfyUI's take."""

    known = {"options", "default", "min", "max", "step", "tooltip", "control_after_generate"}

    def enter(id, **settings):
        assert set(settings) <= known
        return Port(id, io_type, settings)

    def leave(display_name=None, **settings):
        assert set(settings) <= {"tooltip"}
        return Port(display_name, io_type, settings)

    return SimpleNamespace(Input=enter, Output=leave, io_type=io_type)


@dataclass
class Schema:
    node_id: str
    display_name: str
    category: str
    inputs: list[Port]
    outputs: list[Port]
    description: str = ""


class NodeOutput:
    def __init__(self, *args):
        self.args = args


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls):  # its name there
        return cls.define_schema()


class Hook:
    """The function that ComfyUI's progress bars call."""

    function: Callable[..., None] | None = None


class ProgressBar:
    def __init__(self, total):
        self.total = total

    def update_absolute(self, value, _total=None, preview=None):
        if Hook.function is not None:
            Hook.function(value, self.total, preview, node_id=None)


def modules(models: Path) -> dict[str, ModuleType]:
    """The modules by name. models: the folder that would be ComfyUI/models."""
    folders: dict[str, Path] = {}
    interrupt = SimpleNamespace(asked=False)

    def stop_if_asked():
        if interrupt.asked:
            interrupt.asked = False
            raise Interrupted

    def full_path(folder, name):
        path = folders[folder] / name
        if not path.is_file():
            raise FileNotFoundError(path)
        return str(path)

    def module(name, **values):
        made = ModuleType(name)
        vars(made).update(values)
        return made

    io = SimpleNamespace(
        **{name: kind(name.upper()) for name in ("Image", "Mask", "Int", "Float", "Combo")},
        Custom=kind,
        Schema=Schema,
        NodeOutput=NodeOutput,
        ComfyNode=ComfyNode,
    )
    management = module(
        "comfy.model_management",
        InterruptProcessingException=Interrupted,
        interrupt_current_processing=lambda value=True: setattr(interrupt, "asked", value),
        throw_exception_if_processing_interrupted=stop_if_asked,
        get_torch_device=lambda: torch.device("cpu"),
        intermediate_device=lambda: torch.device("cpu"),
        intermediate_dtype=lambda: torch.float32,
        minimum_inference_memory=lambda: 2**20,
        free_memory=lambda _needed, _device: [],
    )
    utils = module(
        "comfy.utils", ProgressBar=ProgressBar, set_progress_bar_global_hook=lambda f: setattr(Hook, "function", f)
    )
    paths = module(
        "folder_paths",
        models_dir=str(models),
        add_model_folder_path=lambda name, path: folders.update({name: Path(path)}),
        get_filename_list=lambda name: sorted(file.name for file in folders[name].glob("*")),
        get_full_path_or_raise=full_path,
    )
    latest = module("comfy_api.latest", io=io, ComfyExtension=object)
    comfy = module("comfy", model_management=management, utils=utils)
    found = [management, utils, paths, latest, comfy, module("latent_preview", MAX_PREVIEW_RESOLUTION=512)]
    return {one.__name__: one for one in [*found, module("comfy_api", latest=latest)]}


def import_comfyui(folder: Path, models: Path) -> None:
    """Import a copy of ComfyUI, on the processor, with `models` as its folder of models."""
    sys.path.insert(0, str(folder))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import comfy.model_management
    import comfy.utils
    import comfy_api.latest
    import folder_paths
    import latent_preview

    assert comfy.model_management.get_torch_device().type == "cpu"
    assert all([comfy.utils, comfy_api.latest, latent_preview])
    folder_paths.models_dir = str(models)
