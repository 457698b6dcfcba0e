"""The public surface is what it says, and loading it is cheap."""

import subprocess
import sys

import pytest

import sr3


def test_the_public_names_are_these():
    classes = ["Cancelled", "Config", "Model", "Refinement", "Sr3Error", "Upscaler"]
    assert sorted(sr3.__all__) == [*classes, "load", "open_upscaler", "preset"]
    for name in sr3.__all__:
        assert getattr(sr3, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="upscael"):
        sr3.upscael  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("module", ["sr3", "sr3.cli.app", "sr3.presets"])
def test_no_torch_is_loaded_by(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
