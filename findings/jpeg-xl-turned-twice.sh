#!/usr/bin/env bash
# A telephone's picture is stored lying, with a turn beside it. Programs call PIL.ImageOps.exif_transpose to set it upright.
#
# One expects: after exif_transpose a picture is upright, whatever its format, as with JPEG, PNG, AVIF and HEIC.
# What happens: in a JPEG XL the codestream names the turn, the decoder carries it out, and the EXIF box, which still names
# it, is to be ignored (ISO/IEC 18181-2). pillow-jxl-plugin gives upright pixels together with that EXIF as it stands, so
# exif_transpose turns them a second time: a portrait lies again. Pairs for training, made of an original in JPEG XL and a
# reduction in another format, then show different scenes.
#
# Versions: Python 3.11, Pillow 13.0.0, pillow-jxl-plugin 1.3.8, numpy 2.4.6; the codestream by cjxl 0.7.0. 2026-11-28.
# Output:
#   as opened: 48x32, white corner at the top left: True, EXIF orientation: 6
#   after exif_transpose: 32x48, white corner at the top left: False
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "pillow-jxl-plugin==1.3.8" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PY'
import base64
import io

import numpy as np
import pillow_jxl  # registers itself with Pillow
from PIL import Image, ImageOps

# 32x48 pixels with a turn of 90 degrees in the codestream: red left, blue right, a white corner at the top left.
turned = base64.b64decode(
    "AAAADEpYTCANCocKAAAAFGZ0eXBqeGwgAAAAAGp4bCAAAAD8anhsY/8KC4YFEopLAgASiACUA7/KKAEAUKEyyrjBy7meLz90WEzbuM7QVtsWliSK"
    "jGOTdAKHkAJrqrKkGCmRUaLE2CoGo2RkZCSTSBAAwL5D5ILBt5tESPK64QJnA5xjUjBf+XXDSWcO/WMzUeqMga7vUI7/zIeDBpnBb/s3YJE3NA9G"
    "i9Bp1ogFWq6QAsnKyxjjxZzMnBOZOTMx5sQ4tVMEANEi9VQ6koXwv9ibbCxKBt25kLcdecUhHjmATKL0mL/VWHdyu/HkRruJyYBMhpchsLDJB4Um"
    "kH9B+P9a1uXtHUFCNQTgD1B0aWOk3U6I3qbiqYg/Tt4="
)
exif = Image.Exif()
exif[274] = 6
content = b"\0\0\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
box = (8 + len(content)).to_bytes(4, "big") + b"Exif" + content
file = turned[:32] + box + turned[32:]  # after the boxes of signature and file type


def is_upright(image):
    return bool(np.asarray(image.convert("RGB"))[3, 3].min() > 200)


opened = Image.open(io.BytesIO(file))
again = ImageOps.exif_transpose(opened)
size, orientation = opened.size, opened.getexif().get(274)
print(f"as opened: {size[0]}x{size[1]}, white corner at the top left: {is_upright(opened)}, EXIF orientation: {orientation}")
print(f"after exif_transpose: {again.width}x{again.height}, white corner at the top left: {is_upright(again)}")
assert is_upright(opened) and size == (48, 32), "the decoder no longer turns the picture"
assert orientation == 6 and not is_upright(again), "it is no longer turned twice"
PY
