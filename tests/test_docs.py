"""Examples of the pages run, commands parse, links lead somewhere, and the reference leaves nothing out."""

import io
import json
import math
import re
import shlex
import sys
import tokenize
import unicodedata
import warnings
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel

from command_lines import commands, parse
from pictures import GENERATOR, smooth, write_pictures, write_random_model
from sr3 import zoo
from sr3.build import build_denoiser
from sr3.checkpoint import read_model
from sr3.cli.app import run as sr3
from sr3.config import Config, apply_settings
from sr3.diffusion.noise import NoiseSource
from sr3.diffusion.samplers import SAMPLERS, ddim, last
from sr3.exchange.export import export_onnx
from sr3.presets import is_preset, preset

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "scripts"))
import reference  # noqa: E402 (a script, beside the package)

PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("weights/*.md"),
        *ROOT.glob("src/sr3/weights/*.md"),
        *ROOT.glob("examples/*.md"),
    ]
)
GENERATED = {(DOCS / path).resolve(): text for path, text in reference.pages().items()}
NAMED = [page.relative_to(ROOT).as_posix() for page in PAGES]


def blocks(page: str, language: str = "python") -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


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
    monkeypatch.setattr(zoo, "packaged_models", lambda: {"photos-x4": model, "photos-x4-fast": model})
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth(8, 12)).save("photo.png")
    (tmp_path / "examples").mkdir()
    for name in ("noodles", "building"):
        Image.fromarray(smooth(8, 12)).save(tmp_path / "examples" / f"{name}.png")
    return tmp_path


@pytest.mark.slow
def test_the_examples_of_the_library_run(folder, capsys):
    write_pictures(folder / "photos")
    assert run("docs/how-to/library.md", 14)["guess"].shape == (1, 3, 32, 48)
    with Image.open(folder / "large.png") as large:
        assert large.size == (48, 32)
    out = capsys.readouterr().out
    assert "4 of 4: (32, 48, 3)" in out
    assert re.search(r"stopped after step \d+ of 500", out)
    assert "int64 has no known range" in out


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_example_of_the_front_page_runs():
    assert run("README.md", 1)["large"].size == (48, 32)


@pytest.mark.slow
def test_the_example_of_a_cascade_enlarges_what_it_generates(folder, monkeypatch):
    for name, settings in (("faces-64", GENERATOR), ("faces-256", ())):
        write_random_model(folder / f"{name}.safetensors", settings=settings)
    monkeypatch.setattr("sr3.sampling.cascade.find_model", lambda run: folder / f"{Path(run).name}.safetensors")
    drawn = run("docs/how-to/generate.md", 1)["drawn"]
    assert (drawn.done, drawn.stage, drawn.image.shape) == (66, 1, (2, 3, 64, 64))


@pytest.mark.slow
def test_the_example_of_onnx_samples_as_ddim_does(folder):
    export_onnx("photos-x4", folder / "photos-x4.onnx")
    names = run("docs/how-to/export-onnx.md", 1)
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


def cells(page: str) -> list[tuple[str, str]]:
    """The code cells of a tutorial, as its notebook has them: language and text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


SMALL = ("training.steps=2", "training.batch=2", "training.validation_images=2", "sampling.steps=2", "data.crop=32")


def run_tutorial(page: str) -> dict[str, object]:
    """Run the cells of a tutorial in this process, trainings in two steps."""
    names: dict[str, object] = {}
    for number, (language, text) in enumerate(cells(page), start=1):
        if language == "python":
            exec(compile(text, f"{page}, cell {number}", "exec"), names)
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line, comments=True)
            if program == "sr3":
                small = [word for one in SMALL for word in ("--set", one)] if words[0] == "train" else []
                assert sr3([*words, *small]) == 0, line
            else:
                assert (program, words[0]) == ("pip", "install")
    return names


@pytest.mark.slow
def test_the_tutorial_of_one_photo_runs(folder, capsys):
    run_tutorial("docs/tutorials/photo.md")
    for name in ("noodles-large.png", "noodles-refined.png"):
        with Image.open(folder / name) as large:
            assert large.size == (48, 32)
    assert "step 4 of 4" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.training
def test_the_tutorial_of_training_runs(folder):
    for name, count in (("my-photos", 5), ("held-out", 2)):
        write_pictures(folder / name, count)
    write_random_model(folder / "photos-x4.safetensors", of="photos-x4")
    run_tutorial("docs/tutorials/train.md")
    assert read_model(folder / "runs" / "mine" / "model.safetensors").info.config.training.start.startswith("photos-x4")
    methods = json.loads((folder / "report" / "report.json").read_text())["methods"]
    assert len(methods) == 3
    with Image.open(folder / "building-large.png") as large:
        assert large.size == (48, 32)


def distance_to_spiral(points):
    angle = torch.linspace(0, 3 * math.pi, 4000)[:, None]
    curve = angle * torch.cat([angle.cos(), angle.sin()], dim=1) / 5
    return torch.cdist(points, curve).amin(dim=1)


@pytest.mark.slow
@pytest.mark.training
def test_the_toy_learns_the_spiral_and_every_sampler_finds_it(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib's own, in parts that the page does not use
        names = run("docs/tutorials/toy.md", 6)
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


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_example_of_a_sampler_of_ones_own_runs():
    names = run("docs/how-to/write-a-sampler.md", 2)
    assert names["large"].shape == (48, 64, 3)
    assert names["renoise"].traits.calls(5) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_example_of_levels_of_diffusers_runs():
    names = run("docs/how-to/from-diffusers.md", 1)
    assert names["large"].size == (48, 32)
    assert len(names["gammas"]) == 21


def test_the_page_of_samplers_says_what_is_known_of_each():
    """Its table has the network calls of every sampler, and whether noise is drawn after the start."""
    page = (DOCS / "explanation" / "samplers.md").read_text(encoding="utf-8")
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
    pages = {page for page in NAMED if page.startswith("docs/") and blocks(page)}
    how_to = {
        f"docs/how-to/{name}.md" for name in ("export-onnx", "from-diffusers", "generate", "library", "write-a-sampler")
    }
    tutorials = {page for page in NAMED if page.startswith("docs/tutorials/")}
    elsewhere = {"docs/extending.md", "docs/how-to/web.md"}  # by test_extending.py and web/test_web_process.py
    assert pages - elsewhere == how_to | tutorials
    assert tutorials == {f"docs/tutorials/{name}.md" for name in ("photo", "toy", "train")}


def command_lines(page: str) -> list[list[str]]:
    """The words after `sr3` of each command of a page, without what the shell does."""
    found = []
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.search(r"(?:^|\s-m )sr3 (.*)", line)
            if command and not command[1].startswith("#"):
                found.append([word for word in shlex.split(command[1], comments=True) if word != "&"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in NAMED if command_lines(page)])
def test_every_command_in_a_page_parses_and_its_settings_exist(page):
    for words in command_lines(page):
        options = parse(words)
        if words[0] == "train" and is_preset(options["settings"]):
            mean = ("data.crop=128",) if options["mean"] else ()
            apply_settings(preset(options["settings"]), [*mean, *without_mean(options["change"] or [])])


SPLITS = {"ffhq": {"train"}, "celeba-hq": {"eval"}, "imagenet": {"train", "val"}}
"""Folders that `sr3 prepare` writes by recipe; `tests/data/test_recipes.py` tests the same."""


def prepared() -> dict[str, set[str]]:
    """The folders that the commands of all pages prepare, with what lies in each."""
    found: dict[str, set[str]] = {}
    for page in NAMED:
        for words in command_lines(page):
            if words[0] == "prepare":
                given = parse(words)
                held = {"train", "eval"} if given["hold_out"] else {"train"}
                found.setdefault(Path(given["out"]).name, set()).update(SPLITS.get(given["recipe"], held))
    return found


OWN_SHARDS = ("shards", "faces", "photos")
"""Folders that pages use for shards of the reader."""


@pytest.mark.slow
def test_shards_that_a_page_names_are_those_that_a_page_prepares():
    folders, seen = prepared(), 0
    for page in NAMED:
        text = re.sub(r"```text.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
        for pattern in re.findall(r'"([\w./-]+/\*\.tar)"', text):
            path = Path(pattern)
            if len(path.parts) == 2 and path.parts[0] in OWN_SHARDS:
                continue  # one's own
            folder, split = path.parts[-3:-1] if len(path.parts) > 2 else (path.parts[0], "")
            assert split in folders[folder], f"{page}: {pattern}"
            seen += 1
    assert seen > 10


def without_mean(changes: list[str]) -> list[str]:
    """Settings that need no section which only --mean makes."""
    return [
        one for one in changes if not one.startswith(("mean.", "network.guide", "sampling.start", "sampling.gamma"))
    ]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs makes them."""
    text = GENERATED.get(path) or path.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())
        number = 0
        while (one := slug + (f"_{number}" if number else "")) in found:
            number += 1
        found.add(one)
    return found


@pytest.mark.parametrize("page", NAMED)
def test_every_link_leads_to_a_file_and_a_heading(page):
    path = ROOT / page
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(((?!https?:|mailto:)[^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))
    for link in links:
        target, _, anchor = unquote(link).partition("#")
        file = (path.parent / target).resolve() if target else path
        made = file in GENERATED or (file.suffix == ".ipynb" and file.with_suffix(".md").is_file())
        assert made or file.exists(), f"{page}: {link}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page}: {link}"


PRIVATE = (
    r"spoil\w*|mend\w*|reckon\w*|sitting|opponent|dots an inch|best-known unofficial|goes on|(?:is|be) told(?! apart)|"
    r"(?:calls?|steps?|images?|bits|bytes|numbers?) an? (?:image|step|pixel|call|channel|level)(?! (?:of|that|which))"
)
"""Words that this project once used for terms which the field has a name for; CONTRIBUTING.md has the table."""


@pytest.mark.parametrize("page", [page for page in NAMED if page != "CHANGELOG.md"])
def test_pages_use_the_standard_terms(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(rf"\b(?:{PRIVATE})\b", prose)


@pytest.mark.slow
def test_comments_docstrings_and_messages_use_the_standard_terms():
    found = [
        (path.name, token.start[0], word)
        for path in (ROOT / "src").rglob("*.py")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string)
        for word in re.findall(rf"\b(?:{PRIVATE})\b", token.string)
    ]
    assert not found


@pytest.mark.slow
def test_every_page_that_the_code_names_exists():
    files = [path for name in ("src", "scripts", "benchmarks") for path in (ROOT / name).rglob("*") if path.is_file()]
    named = {
        (path.relative_to(ROOT).as_posix(), page)
        for path in files
        if path.suffix in (".py", ".sh", ".md", "")
        for page in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not [one for one in sorted(named) if not (ROOT / one[1]).is_file() and ROOT / one[1] not in GENERATED]


@pytest.mark.slow
def test_every_page_is_in_the_navigation_once():
    listed = re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    cards = {f"cards/{path.stem}.md" for path in ROOT.glob("**/weights/*-*.md") if ".venv" not in path.parts}
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | set(reference.pages()) | cards
    assert sorted(listed) == sorted(pages)


def settings_classes(kind: type[BaseModel]) -> set[type[BaseModel]]:
    """Every class of settings in the tree."""
    found = {one for field in kind.model_fields.values() for one in reference._classes(field.annotation)}
    return found.union(*(settings_classes(one) for one in found))


@pytest.mark.slow
def test_the_reference_explains_every_setting():
    page = reference.settings_page()
    for section, field in Config.model_fields.items():
        text = page.partition(f"## `[{section}]`\n")[2].partition("\n## ")[0]
        for kind in reference._classes(field.annotation):
            for name in kind.model_fields:
                rows = re.findall(rf"^\| `{name}` \| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
                assert rows, f"{section}.{name} is missing"
                assert all(cell.strip() for row in rows for cell in row), f"{section}.{name} is not explained"
    assert "class 'sr3" not in page
    assert len(settings_classes(Config)) >= len(Config.model_fields)


@pytest.mark.slow
def test_the_reference_shows_every_option_of_every_command():
    import typer.main

    from sr3.cli.app import app

    page = reference.command_line_page()
    for path, command in commands(typer.main.get_command(app)):
        if hasattr(command, "commands"):
            continue
        text = page.partition(f"\n## sr3 {' '.join(path)}\n")[2].partition("\n## ")[0]
        for option in command.params:
            names = option.opts if option.param_type_name == "option" else [option.metavar.strip(".")]
            assert any(name in text for name in names), (path, option.name)


def test_the_front_page_fits_two_screens_and_has_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert re.findall(r"^make \w+", text, re.MULTILINE) == ["make demo", "make test"]
