#!/usr/bin/env bash
# A TIFF may hold signed numbers (tag SampleFormat 2), as differences, elevations and some radar products do.
#
# One expects: Pillow keeps the sign, or refuses what it cannot hold.
# What happens: signed bytes are opened as unsigned ones (mode L) without a word: -1 becomes 255, and dark and bright
# change places across zero. Signed 16-bit numbers, by contrast, are opened with their sign (mode I).
#
# Versions: Python 3.11, Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6. 2026-11-27.
# Output:
#   int8: wrote [-128, -1, 0, 127], mode L, Pillow gives [128, 255, 0, 127]
#   int16: wrote [-128, -1, 0, 127], mode I, Pillow gives [-128, -1, 0, 127]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "tifffile==2026.3.3" "numpy==2.4.6"
"$work/venv/bin/python" -W error - "$work" <<'PY'
import sys
import numpy as np, tifffile
from PIL import Image

found = {}
for kind in (np.int8, np.int16):
    path = f"{sys.argv[1]}/{kind.__name__}.tif"
    tifffile.imwrite(path, np.array([[-128, -1, 0, 127]], dtype=kind), photometric="minisblack")
    with Image.open(path) as image:
        found[kind] = np.asarray(image).tolist()[0]
        print(f"{kind.__name__}: wrote [-128, -1, 0, 127], mode {image.mode}, Pillow gives {found[kind]}")
assert found[np.int8] == [128, 255, 0, 127], "signed bytes no longer wrap"
assert found[np.int16] == [-128, -1, 0, 127], "signed 16-bit numbers are no longer kept"
PY
