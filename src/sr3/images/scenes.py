"""Georeferenced rasters read and written in windows by rasterio, so that memory does not grow with the scene.

The grid contract: the enlargement has the same CRS, origin and extent, and pixels smaller by the scale. Pixels without
data are those of the mask of each band, and NaN.
"""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr3.atomic import whole_file
from sr3.errors import ImageError

__all__ = ["SCENE_SUFFIXES", "Scene", "SceneWriter", "open_scene", "written_scene"]

SCENE_SUFFIXES = (".tif", ".tiff")
_BLOCK = 256
_CACHE_MB = 64  # GDAL's own cache is a share of the machine's memory
_OTHER_DOMAINS = (
    "IMAGE_STRUCTURE",
    "DERIVED_SUBDATASETS",
    "SUBDATASETS",
    "RPC",
    "GEOLOCATION",
    "COLOR_PROFILE",
    "EXIF",
)
"""Domains of tags that describe the file itself, are read only, or were moved to the new grid."""
_KINDS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


@dataclass(frozen=True)
class Scene:
    """An open raster. `dataset` is rasterio's reader."""

    path: Path
    dataset: Any

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self.dataset.count

    @property
    def kind(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return np.dtype(self.dataset.dtypes[0])

    def read(self, top: int, left: int, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Read a window: numbers (bands, h, w), and where they are data."""
        from rasterio.windows import Window

        window = Window(left, top, width, height)  # pyright: ignore[reportCallIssue]
        values = self.dataset.read(window=window).astype(np.float64)
        valid = (self.dataset.read_masks(window=window) > 0) & np.isfinite(values)
        return values, valid


@contextmanager
def open_scene(path: Path) -> Generator[Scene]:
    """Open a raster; ImageError, with the name, without rasterio, and for rasters that are not enlarged."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise ImageError(f'{path}: --geo needs rasterio; pip install "sr3[geo]"') from error
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB, GDAL_TIFF_INTERNAL_MASK=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as dataset:
                _check(path, dataset)
                yield Scene(path, dataset)
        except RasterioError as error:
            reason = error.__cause__ or error  # rasterio's own text may only say that there is another
            raise ImageError(
                f"{path}: GDAL cannot read it ({' '.join(str(reason).split())[:160]}); check the file"
            ) from error


def _check(path: Path, dataset: Any) -> None:  # noqa: ANN401 (rasterio has no types)
    from rasterio.enums import ColorInterp

    if set(dataset.dtypes) - set(_KINDS) or len(set(dataset.dtypes)) != 1:
        raise ImageError(f"{path}: holds {', '.join(sorted(set(dataset.dtypes)))}; convert all bands to one real type")
    if ColorInterp.palette in dataset.colorinterp:
        raise ImageError(f"{path}: has a palette; expand it with gdal_translate -expand rgb")
    if ColorInterp.alpha in dataset.colorinterp:
        raise ImageError(
            f"{path}: has an alpha band; make it a mask with gdal_translate -mask, or if it "
            "is none, say so with gdal_edit.py -colorinterp_N undefined"
        )


class SceneWriter:
    """An enlargement that is being written; `dataset` is rasterio's writer."""

    def __init__(self, scene: Scene, dataset: Any) -> None:  # noqa: ANN401
        """Write to an open dataset what enlarges the scene."""
        self._dataset = dataset
        self._kind = np.dtype(dataset.dtypes[0])
        self._nodata = dataset.nodata
        self._has_mask = self._nodata is None and _has_mask(scene)

    def write(self, top: int, left: int, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
        """Write numbers (bands, h, w) at a place, and no data where they are not valid."""
        from rasterio.windows import Window

        window = Window(left, top, values.shape[2], values.shape[1])  # pyright: ignore[reportCallIssue]
        if self._kind.kind != "f":
            ends = np.iinfo(self._kind)
            values = np.round(values).clip(ends.min, ends.max)
        if self._nodata is not None:
            values = np.where(valid, _apart(values, self._nodata, self._kind), self._nodata)
        elif self._kind.kind == "f":
            values = np.where(valid, values, np.nan)
        else:
            values = np.where(valid, values, 0)
        self._dataset.write(values.astype(self._kind), window=window)
        if self._has_mask:
            self._dataset.write_mask(valid.all(0), window=window)


def _has_mask(scene: Scene) -> bool:
    from rasterio.enums import MaskFlags

    return any(MaskFlags.per_dataset in flags for flags in scene.dataset.mask_flag_enums)


def _apart(values: NDArray[np.float64], nodata: float, kind: np.dtype[Any]) -> NDArray[np.float64]:
    """Move data that happen to equal the number for "no data" to the next number."""
    if kind.kind == "f":
        following = float(np.nextafter(kind.type(nodata), kind.type(np.inf)))
    else:
        following = nodata + 1 if nodata < np.iinfo(kind).max else nodata - 1
    return np.where(values.astype(kind) == kind.type(nodata), following, values)


@contextmanager
def written_scene(path: Path, scene: Scene, scale: int, *, kind: str = "same") -> Generator[SceneWriter]:
    """Return a writer of the enlargement; on leaving in order overviews are built and the file takes its place.

    kind: NumPy's name of the type of the numbers; floats take NaN for no data.
    """
    import rasterio
    from rasterio.enums import Resampling

    with whole_file(path) as temporary:
        with rasterio.open(temporary, "w", **_profile(scene, scale, kind)) as dataset:
            _describe(dataset, scene, scale, keeps_units=kind == "same")
            yield SceneWriter(scene, dataset)
        with rasterio.open(temporary, "r+") as dataset:
            smaller = max(dataset.width, dataset.height)
            factors = [2**k for k in range(1, 20) if smaller / 2**k >= _BLOCK]
            if factors:
                dataset.build_overviews(factors, Resampling.average)


def _profile(scene: Scene, scale: int, kind: str) -> dict[str, Any]:
    source = scene.dataset
    dtype = source.dtypes[0] if kind == "same" else kind
    profile = {
        "driver": "GTiff",
        "width": source.width * scale,
        "height": source.height * scale,
        "count": source.count,
        "dtype": dtype,
        "nodata": source.nodata if kind == "same" else float("nan"),
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "predictor": 3 if np.dtype(dtype).kind == "f" else 2,
        "BIGTIFF": "YES",
    }
    if not source.gcps[0]:
        profile |= {"crs": source.crs}
        if not source.transform.is_identity:
            profile["transform"] = source.transform @ source.transform.scale(1 / scale)
    return profile


def _describe(dataset: Any, scene: Scene, scale: int, *, keeps_units: bool) -> None:  # noqa: ANN401
    """Copy what describes the bands, and move ground control points and RPCs to the new grid."""
    from rasterio.control import GroundControlPoint

    source = scene.dataset
    points, crs = source.gcps
    if points:
        moved = [GroundControlPoint(p.row * scale, p.col * scale, p.x, p.y, p.z, p.id, p.info) for p in points]
        dataset.gcps = (moved, crs)
    if (rpcs := source.rpcs) is not None:
        # RPCs count from the middle of the first pixel.
        rpcs.line_off, rpcs.samp_off = ((off + 0.5) * scale - 0.5 for off in (rpcs.line_off, rpcs.samp_off))
        rpcs.line_scale, rpcs.samp_scale = rpcs.line_scale * scale, rpcs.samp_scale * scale
        dataset.rpcs = rpcs
    _copy_tags(dataset, source)
    dataset.colorinterp = source.colorinterp
    dataset.descriptions = source.descriptions
    if keeps_units:
        dataset.scales, dataset.offsets = source.scales, source.offsets
    else:
        dataset.scales = source.scales  # an offset cancels in a deviation
    dataset.units = tuple(unit or "" for unit in source.units)


def _copy_tags(dataset: Any, source: Any) -> None:  # noqa: ANN401
    """Copy the tags of the file, band 0, and of its bands, in all their domains."""
    for band in range(source.count + 1):
        for domain in ("", *source.tag_namespaces(band)):
            if domain in _OTHER_DOMAINS or domain.startswith("xml:"):
                continue
            place = {"ns": domain} if domain else {}
            # Statistics are true of the low-resolution scene only.
            kept = {k: value for k, value in source.tags(band, **place).items() if not k.startswith("STATISTICS_")}
            dataset.update_tags(band, **place, **kept)
