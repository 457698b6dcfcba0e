import io

import numpy as np
import pytest
from PIL import Image

from pictures import smooth
from sr3.images.jpeg_quality import jpeg_quality


@pytest.mark.parametrize("quality", [5, 10, 30, 49, 50, 51, 75, 90, 95, 99, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quality_that_pillow_was_given_is_found_again(tmp_path, quality, mode):
    Image.fromarray(smooth(24, 32)).convert(mode).save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_quality(tmp_path / "a.jpg") == quality


def test_other_files_have_none(tmp_path):
    Image.fromarray(smooth(24, 32)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8 no picture")
    for name in ("a.png", "b.jpg", "missing.jpg"):
        assert jpeg_quality(tmp_path / name) is None


def test_tables_of_another_program_give_a_quality_too(tmp_path):
    table = list(np.full(64, 12))
    buffer = io.BytesIO()
    Image.fromarray(smooth(24, 32)).save(buffer, "JPEG", qtables=[table, table])
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert jpeg_quality(tmp_path / "a.jpg") == pytest.approx(100 - 50 * 64 * 12 / 3688, abs=1)
