"""Georeferencing of a TIFF, and that of its enlargement.

Source: OGC GeoTIFF 1.1 (19-008r4), GTRasterTypeGeoKey: with PixelIsArea 0 is the corner of the first pixel, with
PixelIsPoint its middle. Pixels are not turned: an image that was turned has lost its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["GEO_TAGS", "NO_DATA_TAG", "Georeference", "enlarged", "read_georeference"]

Georeference: TypeAlias = tuple[tuple[int, Any], ...]
"""Tags of TIFF with their values."""

_SCALE, _TIEPOINTS, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
NO_DATA_TAG = 42113
"""GDAL's number for "no data"."""
GEO_TAGS = (_SCALE, _TIEPOINTS, _MATRIX, _KEYS, 34736, 34737, NO_DATA_TAG)
"""Tags that are kept."""
_RASTER_KIND, _IS_POINT = 1025, 2


def read_georeference(tags: Mapping[int, Any]) -> Georeference:
    """Collect the tags that say where pixels lie."""
    return tuple((tag, _plain(tags[tag])) for tag in GEO_TAGS if tag in tags)


def enlarged(place: Georeference, across: float, down: float) -> Georeference:
    """Scale the positions of pixels to the enlargement; malformed entries are left unchanged."""
    keys = dict(place).get(_KEYS, ())
    # The middle of pixel p of the small image is place scale (p + 1/2) - 1/2 of the large one.
    offsets = ((across - 1) / 2, (down - 1) / 2) if _is_point(keys) else (0.0, 0.0)
    return tuple((tag, _enlarged(tag, value, (across, down), offsets)) for tag, value in place)


def _enlarged(tag: int, value: Any, ratio: tuple[float, float], offsets: tuple[float, float]) -> Any:  # noqa: ANN401 (as tags are)
    (across, down), (right, below) = ratio, offsets
    match tag, value:
        case (33550, (wide, high, *rest)):
            return (wide / across, high / down, *rest)
        case (33922, tuple()) if len(value) % 6 == 0:
            points = [value[start : start + 6] for start in range(0, len(value), 6)]
            return tuple(n for i, j, *rest in points for n in (i * across + right, j * down + below, *rest))
        case (34264, tuple()) if len(value) == 16:
            rows = [value[start : start + 4] for start in range(0, 16, 4)]
            moved = [
                (a / across, b / down, c, d - a * right / across - b * below / down) if k < 3 else (a, b, c, d)
                for k, (a, b, c, d) in enumerate(rows)
            ]
            return tuple(number for row in moved for number in row)
        case _:
            return value


def _is_point(keys: Sequence[Any]) -> bool:
    """Look the kind of raster up in the directory of keys, four numbers each after four of a head."""
    entries = [tuple(keys[start : start + 4]) for start in range(4, len(keys) - 3, 4)]
    return any(entry[0] == _RASTER_KIND and entry[3] == _IS_POINT for entry in entries)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str | bytes):
        return value
    return tuple(value) if isinstance(value, Sequence) else (value,)
