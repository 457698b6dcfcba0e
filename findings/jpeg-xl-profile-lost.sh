#!/usr/bin/env bash
# A photograph in a wide colour space (Display P3, Adobe RGB) carries an ICC profile that says what its numbers mean.
#
# One expects: image.save(..., icc_profile=...) keeps the profile, or fails, as with PNG, JPEG, WebP, TIFF and AVIF.
# What happens: pillow-jxl-plugin accepts the argument, writes the numbers and leaves the profile out, without a word; what
# is read back calls itself sRGB. Saturated colours turn dull, and a set of photographs that is archived as lossless JPEG XL
# has lost its colours although every number is the same.
#
# Versions: Python 3.11, Pillow 13.0.0, pillow-jxl-plugin 1.3.8, numpy 2.4.6. 2026-11-28.
# Output:
#   PNG: profile of 484 bytes kept: True
#   AVIF: profile of 484 bytes kept: True
#   JXL: profile of 484 bytes kept: False, numbers kept: True, read back as 'sRGB'-like: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "pillow-jxl-plugin==1.3.8" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PY'
import io

import numpy as np
import pillow_jxl  # registers itself with Pillow
from PIL import Image, ImageCms

profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()  # any that is not sRGB
rows, columns = np.mgrid[:32, :48]
numbers = np.stack([5 * columns, 7 * rows, rows + columns], axis=-1).astype(np.uint8)
kept = {}
for kind, options in {"PNG": {}, "AVIF": {"quality": 100}, "JXL": {"lossless": True}}.items():
    buffer = io.BytesIO()
    Image.fromarray(numbers).save(buffer, kind, icc_profile=profile, **options)
    read = Image.open(buffer)
    kept[kind] = read.info.get("icc_profile") == profile
    line = f"{kind}: profile of {len(profile)} bytes kept: {kept[kind]}"
    if kind == "JXL":
        same = bool((np.asarray(read) == numbers).all())
        found = ImageCms.ImageCmsProfile(io.BytesIO(read.info["icc_profile"]))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        as_srgb = np.asarray(ImageCms.profileToProfile(read, found, srgb)).astype(int)
        is_srgb = bool(np.abs(as_srgb - numbers).max() <= 1)
        line += f", numbers kept: {same}, read back as 'sRGB'-like: {is_srgb}"
        assert same and is_srgb, "what is written has changed"
    print(line)
assert kept == {"PNG": True, "AVIF": True, "JXL": False}, "the profile is kept now"
PY
