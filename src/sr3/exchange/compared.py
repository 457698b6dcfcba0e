"""ONNX Runtime compared with torch: what was exported, and whether both answer alike.

Needs the extra `export`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sr3.checkpoint import ModelFile
from sr3.errors import CheckpointError

__all__ = ["TOLERANCE", "Call", "Exported", "averaged", "checked"]

TOLERANCE = 1e-4
"""Largest difference to torch that is accepted, of answers whose spread is near 1."""

_TRIED = ((1, 37, 20), (3, 8, 51))


class Exported(NamedTuple):
    """What was written: where, the inputs by name, and the difference to torch, by (batch, height, width).

    The difference is the largest one, or the average one where is_average is true.
    """

    path: Path
    inputs: tuple[str, ...]
    differences: dict[tuple[int, int, int], float]
    is_average: bool = False


class Call(Protocol):
    """What is exported: a module whose inputs and outputs have names, and which draws inputs for a trial."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        ...

    def drawn(self, size: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Draw inputs of (batch, height, width), always the same."""
        ...

    def __call__(self, *inputs: Tensor) -> Any:  # noqa: ANN401 (one tensor or several, as torch has it)
        """Compute."""
        ...


def checked(
    path: Path,
    call: Call,
    graph: bytes,
    file: ModelFile,
    *,
    tolerance: float,
    sizes: Sequence[tuple[int, int, int]] | None = None,
) -> Exported:
    """Compare ONNX Runtime with torch; CheckpointError when they differ. sizes: None for some that were not traced."""
    errors = _errors_of(call, graph)
    differences = {size: float(errors(call.drawn(size)).max()) for size in sizes or _TRIED}
    if (worst := max(differences.values())) > tolerance:
        raise CheckpointError(f"{file.info.name}: ONNX Runtime differs from torch by {worst:.2g}; upgrade onnxruntime")
    return Exported(path, call.names, differences)


def averaged(
    path: Path, call: Call, graph: bytes, file: ModelFile, images: Sequence[Tensor], *, tolerance: float
) -> Exported:
    """Compare ONNX Runtime with torch on images, on average; CheckpointError when they differ."""
    errors, found = _errors_of(call, graph), dict[tuple[int, int, int], list[float]]()
    for image in images:
        size = (int(image.shape[0]), int(image.shape[-2]), int(image.shape[-1]))
        found.setdefault(size, []).append(float(errors((image,)).mean()))
    differences = {size: sum(values) / len(values) for size, values in found.items()}
    if (worst := max(differences.values())) > tolerance:
        raise CheckpointError(
            f"{file.info.name}: in this type it differs from torch by {worst * 255:.1f} levels of 255 on average; "
            "calibrate it on other images, or export float16"
        )
    return Exported(path, call.names, differences, is_average=True)


def _errors_of(call: Call, graph: bytes) -> Callable[[tuple[Tensor, ...]], Tensor]:
    """Open a graph; for inputs it returns the differences of ONNX Runtime and torch, of all outputs in a row."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: it also advises on constants
    session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def errors(inputs: tuple[Tensor, ...]) -> Tensor:
        answers = session.run(None, {name: value.numpy() for name, value in zip(call.names, inputs, strict=True)})
        with torch.no_grad():
            found = call(*inputs)
        expected = found if isinstance(found, tuple) else (found,)
        return torch.cat([(torch.from_numpy(a) - b).abs().flatten() for a, b in zip(answers, expected, strict=True)])

    return errors
