#!/usr/bin/env bash
# Aerial and satellite pictures keep near infrared as a fourth sample beside RGB; the TIFF's tag ExtraSamples then says 0,
# "unspecified".
#
# One expects: an error, or four bands.
# What happens: Pillow opens the file as RGB with 8 bits a channel and the fourth band is gone, without an error or a
# warning. The same numbers as four bands of grey (PhotometricInterpretation 1) are refused. So whether infrared survives
# depends on a tag that most writers set by default, and a model for four bands trains on three.
#
# Versions: Python 3.11, Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6. 2026-11-27.
# Output:
#   RGB and an unspecified sample: mode RGB, shape (4, 4, 3), bands ('R', 'G', 'B')
#   four bands of grey: refused
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "tifffile==2026.3.3" "numpy==2.4.6"
"$work/venv/bin/python" -W error - "$work" <<'PY'
import sys
import numpy as np, tifffile
from PIL import Image, UnidentifiedImageError

four = np.arange(4 * 4 * 4, dtype=np.uint8).reshape(4, 4, 4)
tifffile.imwrite(f"{sys.argv[1]}/rgb.tif", four, photometric="rgb", extrasamples=["unspecified"])
tifffile.imwrite(f"{sys.argv[1]}/grey.tif", four, photometric="minisblack", planarconfig="contig")
with Image.open(f"{sys.argv[1]}/rgb.tif") as image:
    found = np.asarray(image)
    print(f"RGB and an unspecified sample: mode {image.mode}, shape {found.shape}, bands {image.getbands()}")
assert found.shape == (4, 4, 3), "the fourth band is no longer dropped"
try:
    Image.open(f"{sys.argv[1]}/grey.tif")
    print("four bands of grey: opened")
    raise SystemExit("four bands of grey are no longer refused")
except UnidentifiedImageError:
    print("four bands of grey: refused")
PY
