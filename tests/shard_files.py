"""Shards for tests, made on the spot."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from pictures import smooth
from sr3.data.streams import TarStream


def png(seed: int, side: int = 24) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(smooth(side, side, seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


def tar(files: Mapping[str, bytes], *, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as shard:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def shards(folder: Path, counts: Sequence[int], damaged: Sequence[str] = (), *, side: int = 24) -> TarStream:
    """Shards of so many images; images are named SHARD-IMAGE."""
    paths: list[str] = []
    for shard, count in enumerate(counts):
        files: dict[str, bytes] = {}
        for image in range(count):
            name = f"{shard}-{image}"
            files[f"{name}.png"] = b"no image" if name in damaged else png(100 * shard + image, side)
        (folder / f"{shard:02}.tar").write_bytes(tar(files))
        paths.append(str(folder / f"{shard:02}.tar"))
    return TarStream(paths)
