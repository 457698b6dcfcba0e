#!/usr/bin/env bash
# A photograph of 16 bits per channel is saved as JPEG XL by imagecodecs, so that nothing is lost.
#
# One expects: the file shows the same picture as one of 8 bits of the same photograph, since both hold the same values
# of sRGB, and neither call says anything of colours.
# What happens: the file of 8 bits says that its values are sRGB, the one of 16 bits (and one of floats) that they are
# linear light. The numbers come back as they were, so a check of them by imagecodecs shows nothing. But a viewer that
# manages colours shows the picture much too bright, and whoever converts it by its profile gets other values: a mean of
# 128 becomes 176. jpegxl_encode has no argument for the colours.
#
# Versions: Python 3.11, imagecodecs 2026.3.6, pillow-jxl-plugin 1.3.8, Pillow 13.0.0, numpy 2.4.6. 2026-11-29.
# Output:
#   8 bits: numbers kept: True, profile sRGB, mean 128 shown as 128
#   16 bits: numbers kept: True, profile RGB_D65_SRG_Rel_Lin, mean 128 shown as 176
#   floats: numbers kept: True, profile RGB_D65_SRG_Rel_Lin, mean 128 shown as 176
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "imagecodecs==2026.3.6" "pillow-jxl-plugin==1.3.8" "pillow==13.0.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PY'
import io
import sys

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 (registers itself with Pillow)
from PIL import Image, ImageCms

ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 16, 0).repeat(3, 2)
photographs = {"8 bits": ramp, "16 bits": ramp.astype(np.uint16) * 257, "floats": (ramp / 255).astype(np.float32)}
srgb, found = ImageCms.createProfile("sRGB"), {}
for name, pixels in photographs.items():
    data = imagecodecs.jpegxl_encode(pixels, lossless=True)
    same = np.array_equal(imagecodecs.jpegxl_decode(data), pixels)
    with Image.open(io.BytesIO(data)) as image:  # reads what libjxl says of the colours
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    shown = ImageCms.profileToProfile(Image.fromarray(ramp), profile, srgb)
    found[name] = ImageCms.getProfileDescription(profile).strip()
    print(f"{name}: numbers kept: {same}, profile {found[name]}, mean {ramp.mean():.0f} shown as {np.mean(shown):.0f}")
sys.exit(found != {"8 bits": "sRGB", "16 bits": "RGB_D65_SRG_Rel_Lin", "floats": "RGB_D65_SRG_Rel_Lin"})
PY
