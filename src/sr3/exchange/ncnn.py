"""Export of a whole way from the input to the result for ncnn, which runs networks on phones and by Vulkan.

pnnx converts the traced way, and ncnn runs the result before it is kept. Needs the extra `ncnn`.
"""

import importlib
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sr3.checkpoint import read_model
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.compared import Exported
from sr3.exchange.export import write
from sr3.exchange.ncnn_run import BLOBS
from sr3.exchange.whole import TOLERANCE, WholeWay
from sr3.zoo import find_model

__all__ = ["export_ncnn", "weights_path"]

_TRACED, _PARAM, _BIN = "whole.pt", "whole.ncnn.param", "whole.ncnn.bin"  # names that pnnx derives from the first
_LAST_WORDS = 200  # of pnnx, shown when it fails


def export_ncnn(model: str, target: Path, *, side: int) -> Exported:
    """Write a model of one call as ncnn's two files: the graph to `target`, the weights to `weights_path`.

    Weights are in float16, or in float32 where half a level of 255 would be lost. The input has `side` pixels in height
    and width. Raises ConfigError without the extra `ncnn` and for a model or side that `WholeWay` does not take,
    CheckpointError when the conversion fails, when ncnn does not give what torch gives, or when the disk refuses.
    """
    _check_packages()
    file = read_model(find_model(model))
    way = WholeWay(file, side).eval()
    inputs = way.drawn((1, side, side))
    with TemporaryDirectory() as folder:
        difference = float("inf")
        for half in (True, False):
            _convert(way, inputs, Path(folder), half=half)
            difference = _difference(way, inputs, Path(folder))
            if difference <= TOLERANCE:
                break
        else:
            what = f"differs from torch by {difference:.2g}" if difference < float("inf") else "cannot run the graph"
            raise CheckpointError(f"{file.info.name}: ncnn {what}; upgrade ncnn and pnnx")
        for path, name in ((weights_path(target), _BIN), (target, _PARAM)):
            write(path, (Path(folder) / name).read_bytes())
    return Exported(target, BLOBS[:1], {(1, side, side): difference})


def weights_path(target: Path) -> Path:
    """Name the file of the weights beside that of the graph."""
    return target.with_suffix(".bin")


def _check_packages() -> None:
    if missing := [name for name in ("ncnn", "pnnx") if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"--ncnn needs {' and '.join(missing)}, which is not installed: pip install 'sr3[ncnn]'")


def _convert(way: WholeWay, inputs: tuple[Tensor, ...], folder: Path, *, half: bool) -> None:
    """Trace and convert; pnnx writes its files beside the trace."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing: the size is fixed
        cast(Any, torch.jit).trace(way, inputs, check_trace=False).save(str(folder / _TRACED))
        program = cast(str, importlib.import_module("pnnx").EXEC_PATH)
    shape = ",".join(str(number) for number in inputs[0].shape)
    command = [program, _TRACED, f"inputshape=[{shape}]", f"fp16={int(half)}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / _PARAM).is_file():
        said = " ".join((done.stderr or done.stdout).split())[-_LAST_WORDS:]
        raise CheckpointError(f"pnnx could not convert the model ({said or 'it printed nothing'}); upgrade pnnx")


def _difference(way: WholeWay, inputs: tuple[Tensor, ...], folder: Path) -> float:
    """Compare ncnn with torch; infinite when it cannot load or run the graph."""
    np.save(folder / "input.npy", inputs[0][0].contiguous().numpy())
    words = [folder / name for name in (_PARAM, _BIN, "input.npy", "output.npy")]
    command = [sys.executable, "-m", "sr3.exchange.ncnn_run", *map(str, words)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return float("inf")
    found = torch.from_numpy(np.load(words[-1]))
    with torch.no_grad():
        expected = cast(Tensor, way(*inputs))[0]
    return float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
