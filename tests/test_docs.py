"""The examples in the pages run as they stand, in one folder and one after the other, as a reader would."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pictures import GENERATOR, smooth, write_random_model
from sr3 import zoo
from sr3.build import build_denoiser
from sr3.checkpoint import read_model
from sr3.config import Config, MeanConfig
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import ddim, last
from sr3.inference.export import export_onnx

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_setting_and_no_other_is_in_the_table_of_its_section():
    settings = (DOCS / "training.md").read_text(encoding="utf-8").partition("## All settings")[2]
    parts = re.split(r"^### `\[(\w+)\]`", settings, flags=re.MULTILINE)[1:]
    found = {
        section: sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for section, text in zip(parts[::2], parts[1::2], strict=True)
    }
    sections = [(section, type(value)) for section, value in Config() if section not in ("distillation", "mean")]
    assert found == {section: sorted(kind.model_fields) for section, kind in [*sections, ("mean", MeanConfig)]}


def run(page: str, expected: int) -> dict[str, object]:
    names, found = dict[str, object](), blocks(page)
    assert len(found) == expected
    for number, block in enumerate(found, start=1):
        exec(compile(block, f"{page}, example {number}", "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a photo, in which photos-x4 is a small network of that kind."""
    model = write_random_model(tmp_path / "photos-x4.safetensors")
    monkeypatch.setattr(zoo, "packaged_models", lambda: {"photos-x4": model})
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth(8, 12)).save("photo.png")
    return tmp_path


def test_the_examples_of_the_library_run(folder, capsys):
    run("docs/library.md", 9)
    with Image.open(folder / "large.png") as large:
        assert large.size == (48, 32)
    out = capsys.readouterr().out
    assert "4 of 4: (32, 48, 3)" in out
    assert re.search(r"stopped after step \d+ of 500", out)
    assert "int64 has no known range" in out


def test_the_example_of_the_front_page_runs(folder):
    (folder / "examples").mkdir()
    Image.fromarray(smooth(8, 12)).save(folder / "examples" / "noodles.png")
    assert run("README.md", 1)["large"].size == (48, 32)


def test_the_example_of_tensors_gives_every_guess(folder):
    Image.fromarray(smooth(8, 12)).save(folder / "photo.jpg")
    assert run("docs/upscaling.md", 1)["guess"].shape == (1, 3, 32, 48)


def test_the_example_of_a_chain_enlarges_what_it_generates(folder, monkeypatch):
    for name, settings in (("faces-64", GENERATOR), ("faces-256", ())):
        write_random_model(folder / f"{name}.safetensors", settings=settings)
    monkeypatch.setattr("sr3.inference.cascade.find_model", lambda run: folder / f"{Path(run).name}.safetensors")
    drawn = run("docs/generating.md", 1)["drawn"]
    assert (drawn.done, drawn.stage, drawn.image.shape) == (66, 1, (2, 3, 64, 64))


def test_every_page_with_an_example_is_run():
    pages = {page.name for page in DOCS.glob("*.md") if blocks(f"docs/{page.name}")}
    assert pages == {"exchange.md", "generating.md", "library.md", "upscaling.md"}


def test_the_example_of_onnx_samples_as_ddim_does(folder):
    export_onnx("photos-x4", folder / "photos-x4.onnx")
    names = run("docs/exchange.md", 1)
    with Image.open(folder / "large.png") as large:
        assert large.size == (48, 32)
    file = read_model(folder / "photos-x4.safetensors")
    denoiser = build_denoiser(file.info.config, image_channels=3)
    denoiser.network.load_state_dict(file.weights)
    x = torch.from_numpy(names["x"])
    start = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape, np.float32))
    y = last(ddim(denoiser.eval().bind(x, clip=False), start, torch.from_numpy(names["gammas"]), NoiseSource([])))
    expected = denoiser.decode(y, x)[0].permute(1, 2, 0)
    found = torch.from_numpy(np.asarray(names["picture"])) / 127.5 - 1
    torch.testing.assert_close(found.float(), expected, atol=1e-3, rtol=0)
