"""The examples in the pages run as they stand, in one folder and one after the other, as a reader would."""

import math
import re
import warnings
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
from sr3.diffusion.samplers import SAMPLERS, ddim, last
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
    run("docs/library.md", 10)
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


@pytest.mark.usefixtures("folder")
def test_the_example_of_a_sampler_of_ones_own_runs():
    names = run("docs/samplers.md", 2)
    assert names["large"].shape == (48, 64, 3)
    assert names["renoise"].traits.calls(5) == 5


def distance_to_spiral(points):
    angle = torch.linspace(0, 3 * math.pi, 4000)[:, None]
    curve = angle * torch.cat([angle.cos(), angle.sin()], dim=1) / 5
    return torch.cdist(points, curve).amin(dim=1)


def test_the_toy_learns_the_spiral_and_every_sampler_finds_it(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib's own, in parts that the page does not use
        names = run("docs/toy.md", 6)
    points = names["points"]
    far = {name: float(distance_to_spiral(dots).mean()) for name, dots in points.items()}
    assert set(far) == set(SAMPLERS) - {"regression", "distilled"} | {"conditional", "mean"}
    assert float(distance_to_spiral(torch.randn(1000, 2)).mean()) > 0.2
    for name in ("ancestral-posterior", "ddim", "dpmpp-2m", "heun", "probability-flow", "conditional"):
        assert far[name] < 0.06
    assert far["ancestral"] < 0.1
    assert far["mean"] > 2 * far["conditional"]
    shift = {name: float((points[name][:, :1] - names["x"]).abs().mean()) for name in ("conditional", "mean")}
    assert max(shift.values()) < 0.03
    with Image.open(folder / "spiral.png") as figure:
        assert figure.size == (1100, 506)


def test_the_example_of_a_chain_enlarges_what_it_generates(folder, monkeypatch):
    for name, settings in (("faces-64", GENERATOR), ("faces-256", ())):
        write_random_model(folder / f"{name}.safetensors", settings=settings)
    monkeypatch.setattr("sr3.inference.cascade.find_model", lambda run: folder / f"{Path(run).name}.safetensors")
    drawn = run("docs/generating.md", 1)["drawn"]
    assert (drawn.done, drawn.stage, drawn.image.shape) == (66, 1, (2, 3, 64, 64))


def test_the_page_of_samplers_says_what_is_known_of_each():
    """Its table has the network calls of every sampler, and whether noise is drawn after the start."""
    page = (DOCS / "samplers.md").read_text(encoding="utf-8")
    rows = [[*map(str.strip, line.strip("|").split("|"))] for line in page.splitlines() if line.startswith("| `")]
    table = {row[0].strip("`"): (row[2], row[-1]) for row in rows if len(row) == 5}
    assert set(table) == set(SAMPLERS)
    for name, (calls, noise) in table.items():
        traits = SAMPLERS[name].traits
        each, last_one = traits.calls_per_step, traits.calls_in_last - traits.calls_per_step
        said = f"{each if each > 1 else ''}n{f' - {-last_one}' if last_one else ''}"
        assert calls.partition(",")[0] == ("1" if name == "regression" else said)
        assert noise.startswith("none") == (traits.noise == "never")


def test_every_page_with_an_example_is_run():
    pages = {page.name for page in DOCS.glob("*.md") if blocks(f"docs/{page.name}")}
    assert pages == {"exchange.md", "generating.md", "library.md", "samplers.md", "toy.md", "upscaling.md"}


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
