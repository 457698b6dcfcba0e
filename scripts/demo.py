"""Upscale the images in examples/ by x4 and place each result beside bicubic.

Run by `make demo`. Writes the results to demo/ and the comparison to demo/before-after.png.
"""

import sys
from pathlib import Path

from PIL import Image

from sr3.cli.app import run

ROOT = Path(__file__).parents[1]
EXAMPLES, OUT = ROOT / "examples", ROOT / "demo"
COMPARISON = OUT / "before-after.png"


def side_by_side(pictures: list[Path]) -> Image.Image:
    """Build rows of bicubic (left) and sr3 (right)."""
    rows: list[tuple[Image.Image, Image.Image]] = []
    for path in pictures:
        after = Image.open(OUT / path.name).convert("RGB")
        rows.append((Image.open(path).convert("RGB").resize(after.size, Image.Resampling.BICUBIC), after))
    sheet = Image.new("RGB", (2 * max(after.width for _, after in rows), sum(after.height for _, after in rows)))
    top = 0
    for before, after in rows:
        sheet.paste(before, (0, top))
        sheet.paste(after, (sheet.width // 2, top))
        top += after.height
    return sheet


def main() -> int:
    """Upscale, compare, and print the paths of the results."""
    code = run(["upscale", str(EXAMPLES), "-o", str(OUT), "--overwrite"])
    if code == 0:
        side_by_side(sorted(EXAMPLES.glob("*.png"))).save(COMPARISON)
        print(f"Results are in {OUT}; bicubic (left) beside sr3 (right): {COMPARISON}")
    return code


if __name__ == "__main__":
    sys.exit(main())
