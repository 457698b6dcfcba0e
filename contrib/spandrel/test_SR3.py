"""Tests for spandrel's folder tests/, after those of its other architectures."""

from spandrel.architectures.SR3 import SR3, SR3Arch

from .util import (
    ModelFile,
    TestImage,
    assert_image_inference,
    assert_size_requirements,
    disallowed_props,
    skip_if_unchanged,
)

skip_if_unchanged(__file__)

URL = "https://huggingface.co/OWNER/photos-x4-fast/resolve/main/photos-x4-fast-spandrel.safetensors"


def test_detect() -> None:
    """Only the tensor of settings makes a state dict one of SR3."""
    assert SR3Arch().detect({"sr3_settings": 0, "head.weight": 0, "embedding.layers.0.weight": 0})
    assert not SR3Arch().detect({"head.weight": 0, "embedding.layers.0.weight": 0})


def test_size_requirements() -> None:
    """Any size is taken."""
    assert_size_requirements(ModelFile.from_url(URL).load_model())


def test_SR3_x4_fast(snapshot):  # noqa: ANN001, ANN201
    """One call enlarges fourfold."""
    file = ModelFile.from_url(URL)
    model = file.load_model()
    assert model == snapshot(exclude=disallowed_props)
    assert isinstance(model.model, SR3)
    assert_image_inference(file, model, [TestImage.SR_16, TestImage.SR_32, TestImage.SR_64])
