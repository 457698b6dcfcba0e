#!/usr/bin/env bash
# A TIFF says by its tag PhotometricInterpretation whether 0 is black (1) or white (0). Scanners write grey with white as 0.
#
# One expects: Pillow shows such a picture the right way round whatever its depth, as it does with 8 bits.
# What happens: with 8 bits Pillow inverts the values, so 0 in the image is black. With 16 bits (mode I;16) it gives the
# numbers of the file as they are, so 0 is white, and nothing but the tag says so. A training set, a metric or a viewer
# that takes the array gets the negative: the same picture saved both ways has a PSNR of a few decibels against itself.
#
# Versions: Python 3.11, Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6. 2026-11-27.
# Output:
#   8 bits, mode L: shows [0, 63, 255], Pillow gives [0, 63, 255]
#   16 bits, mode I;16: shows [0, 16383, 65535], Pillow gives [65535, 49152, 0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "tifffile==2026.3.3" "numpy==2.4.6"
"$work/venv/bin/python" - "$work" <<'PY'
import sys
import numpy as np, tifffile
from PIL import Image

shown = {}
for bits, kind, top in ((8, np.uint8, 255), (16, np.uint16, 65535)):
    light = np.array([[0, top // 4, top]], dtype=kind)  # what the picture shows: black, dark, white
    path = f"{sys.argv[1]}/{bits}.tif"
    tifffile.imwrite(path, top - light, photometric="miniswhite")
    with Image.open(path) as image:
        shown[bits] = np.asarray(image).tolist()[0]
        print(f"{bits} bits, mode {image.mode}: shows {light.tolist()[0]}, Pillow gives {shown[bits]}")
assert shown[8] == [0, 63, 255], "8 bits are no longer inverted"
assert shown[16] == [65535, 49152, 0], "16 bits are no longer left as they are"
PY
