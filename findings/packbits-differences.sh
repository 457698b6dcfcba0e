#!/usr/bin/env bash
# tifffile writes a TIFF with a predictor, as differences of neighbouring pixels, which pack better, and says so by a tag.
#
# One expects: whatever packs the differences, a reader adds them up again; where it cannot, it says so.
# What happens: packed by LZW, deflate, Zstandard or LZMA, Pillow (by libtiff) gives the picture. Packed by PackBits,
# tifffile writes differences and the tag all the same, and Pillow gives the differences for the pixels, without a word:
# a dark picture with bright specks, up to 255 levels from the one that was saved. A data set that was written so by one
# and is read by the other is trained on as that.
#
# Versions: Python 3.11, Pillow 13.0.0, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6. 2026-11-28.
# Output:
#   LZW: predictor 2, tifffile is off by 0 levels, Pillow by 0
#   ZSTD: predictor 2, tifffile is off by 0 levels, Pillow by 0
#   PACKBITS: predictor 2, tifffile is off by 0 levels, Pillow by 213
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "tifffile==2026.3.3" "imagecodecs==2026.3.6" "numpy==2.4.6"
"$work/venv/bin/python" - "$work" <<'PY'
import sys
import numpy as np, tifffile
from PIL import Image

rows, columns = np.mgrid[:72, :96]
picture = np.stack([2 * columns, 3 * rows, rows + columns], axis=-1).astype(np.uint8)
off = {}
for packing in ("lzw", "zstd", "packbits"):
    path = f"{sys.argv[1]}/{packing}.tif"
    tifffile.imwrite(path, picture, photometric="rgb", compression=packing, predictor=True)
    with tifffile.TiffFile(path) as tiff, Image.open(path) as image:
        page = tiff.pages[0]
        off[packing] = [int(np.abs(np.asarray(found).astype(int) - picture).max()) for found in (page.asarray(), image)]
        print(f"{page.compression.name}: predictor {int(page.predictor)}, tifffile is off by {off[packing][0]} levels, "
              f"Pillow by {off[packing][1]}")
assert off["lzw"] == off["zstd"] == [0, 0], "the packings that worked do so no longer"
assert off["packbits"] == [0, 213], "differences packed by PackBits are read otherwise now"
PY
