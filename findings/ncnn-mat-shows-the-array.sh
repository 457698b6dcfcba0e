#!/usr/bin/env bash
# ncnn in Python: a Mat made of a NumPy array neither copies it nor keeps it
#
# Expected: ncnn.Mat(array) copies the numbers, as torch.tensor does, or keeps the array for as long as the Mat lives, as
# torch.from_numpy does.
# What happens: the Mat shows the array's memory and holds no reference to the array. A change of the array changes the
# Mat, and an array that nothing else holds is freed while the Mat is still in use: in
# extractor.input("in0", ncnn.Mat(load_image(path))) the network may see whatever is in that memory by then. Nothing is
# raised; an upscaler gave images that were off by up to 200 levels of 255.
# Do instead: hold the array in a variable, and give the network ncnn.Mat(array).clone(), made while it is held.
#
# Versions: ncnn 1.0.20261020, numpy 2.4.6, Python 3.11. Seen 2026-11-28:
#   references to the array: 2 before, 2 with a Mat of it
#   after the array is set to 0.25 the Mat shows 0.25, its clone 1.0
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ncnn==1.0.20261020 numpy==2.4.6

cat >"$folder/seen.py" <<'PY'
import sys

import ncnn
import numpy as np

image = np.ones((3, 8, 8), np.float32)
before = sys.getrefcount(image)
shown = ncnn.Mat(image)
kept = shown.clone()
during = sys.getrefcount(image)
print(f"references to the array: {before} before, {during} with a Mat of it")
image[:] = 0.25
values = float(np.array(shown).max()), float(np.array(kept).max())
print(f"after the array is set to 0.25 the Mat shows {values[0]}, its clone {values[1]}")
assert before == during and values == (0.25, 1.0), "a Mat copies or keeps its array: this has changed"
PY
"$folder/venv/bin/python" "$folder/seen.py"
