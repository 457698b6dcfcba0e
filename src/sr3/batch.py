"""A worker for batch engines: `Upscale` loads a model once and enlarges the rows of one batch after another.

    ds.map_batches(sr3.batch.Upscale, fn_constructor_kwargs={"model": "photos-x4-fast"}, concurrency=4)  # Ray Data

Knows no engine: a batch is a dictionary of columns, and any engine that has such batches can call it.
"""

import tempfile
from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr3.errors import ConfigError, ImageError, Sr3Error
from sr3.images.files import WRITABLE_SUFFIXES
from sr3.runtime.threads import choose_threads
from sr3.sampling.plan import plan_for
from sr3.upscaling.model import load
from sr3.upscaling.sizing import Sizing
from sr3.zoo import DEFAULT_MODEL

__all__ = ["Upscale"]

Column = NDArray[Any] | Sequence[Any]

_LONGEST_NAME = 100  # of a file, with room for what is added to it


class Upscale:
    """Enlarge the images in batches of rows, each row independently.

    | column | content |
    |---|---|
    | `image` | arrays (h, w) or (h, w, c): uint8, uint16, or floats from 0 to 1; the result has the same type |
    | `bytes` | encoded images, instead of `image`; the result is encoded in `format` |
    | `seed` | optional: integers, in place of the argument `seed` |
    | `path` | optional: names for messages; some formats are recognised by its suffix |

    All columns are kept; `image` or `bytes` holds the results. The added column `error` is null, or the error in one
    line. The result of a row that failed is null in `bytes`, and an array without pixels, (0, 0) or (0, 0, c), in
    `image`. A result depends only on the image and seed of its row, not on the batch: for an array it is that of
    `Model.upscale`, for an encoded image the file that `sr3 upscale` writes.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        scale: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        device: str = "auto",
        format: str = "png",
    ) -> None:
        """Load a model by name, path or run folder, once for all batches.

        scale, steps: None for the model's own. device: auto, cpu, cuda or mps. format: a suffix that `sr3 upscale`
        writes, without the dot. Raises CheckpointError when there is no such model, ConfigError for settings that do
        not fit it. These errors end a job at its start; a bad image only fails its row.
        """
        choose_threads()
        self._suffix = f".{format.lower()}"
        if self._suffix not in WRITABLE_SUFFIXES:
            known = ", ".join(suffix[1:] for suffix in WRITABLE_SUFFIXES)
            raise ConfigError(f"format {format}: sr3 does not write this format; use one of {known}")
        Sizing(scale=scale)
        self._model = load(model, device=device)
        plan_for(self._model.upscaler.info, steps=steps)
        self._scale, self._steps, self._seed = scale, steps, seed

    def __call__(self, batch: Mapping[str, Column]) -> dict[str, Column]:
        """Enlarge every row; ConfigError when the batch does not have exactly one of `image` and `bytes`."""
        if ("image" in batch) == ("bytes" in batch):
            found = ", ".join(batch) or "none"
            raise ConfigError(f"a batch needs exactly one of the columns 'image' and 'bytes'; its columns are: {found}")
        column = "image" if "image" in batch else "bytes"
        count = len(batch[column])
        seeds, paths = (batch.get(name, [None] * count) for name in ("seed", "path"))
        results, errors = list[Any](), list[str | None]()
        for value, seed, path in zip(batch[column], seeds, paths, strict=True):
            result, error = self._row(column, value, seed, path)
            results.append(result)
            errors.append(error)
        return {**batch, column: _column(results), "error": _objects(errors)}

    def _row(self, column: str, value: Any, seed: Any, path: Any) -> tuple[Any, str | None]:  # noqa: ANN401 (an engine's)
        """Enlarge one row: the result and no error, or what stands for it and the error."""
        name = "the image" if path is None else str(path)
        try:
            number = self._seed if seed is None else _whole(seed, name)
            if column == "bytes":
                return self._encoded(value, number, name), None
            return self._model.upscale(value, scale=self._scale, steps=self._steps, seed=number), None
        except (Sr3Error, OSError, MemoryError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            return _nothing(column, value), text if name in text else f"{name}: {text}"

    def _encoded(self, data: Any, seed: int, name: str) -> bytes:  # noqa: ANN401 (an engine's)
        """Enlarge an encoded image by way of a file, so that nothing differs from the command."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ImageError(
                f"{name}: the column bytes holds a {type(data).__name__}; give the bytes of an encoded image"
            )
        with tempfile.TemporaryDirectory(prefix="sr3-") as folder:
            source = Path(folder) / (PurePosixPath(name).name[-_LONGEST_NAME:] or "image")
            target = Path(folder) / "large" / f"result{self._suffix}"
            try:
                source.write_bytes(data)
                self._model.upscale_file(source, target, scale=self._scale, steps=self._steps, seed=seed)
            except Sr3Error as error:
                raise ImageError(str(error).replace(str(source), name).replace(str(target), name)) from error
            return target.read_bytes()


def _whole(seed: Any, name: str) -> int:  # noqa: ANN401 (an engine's)
    try:
        return index(seed)
    except TypeError as error:
        raise ConfigError(f"{name}: seed {seed} is not an integer; give one, or null in a column of objects") from error


def _nothing(column: str, value: Any) -> NDArray[Any] | None:  # noqa: ANN401 (an engine's)
    """What stands for the result of a row that failed."""
    if column == "bytes":
        return None
    is_image = isinstance(value, np.ndarray) and value.ndim in (2, 3)
    return np.empty_like(value[:0, :0]) if is_image else np.empty((0, 0, 3), np.uint8)


def _column(values: list[Any]) -> NDArray[Any]:
    """Stack arrays of one shape and type, as engines expect a column of tensors; other values stay objects."""
    kinds = {(value.shape, value.dtype) if isinstance(value, np.ndarray) else None for value in values}
    return np.stack(values) if len(kinds) == 1 and None not in kinds else _objects(values)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    column = np.empty(len(values), object)
    for number, value in enumerate(values):
        column[number] = value
    return column
