"""The map of the source tree in docs/design.md: generated from docstrings, and never out of date."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script, with a small tree and page of its own."""
    spec = importlib.util.spec_from_file_location("map", ROOT / "scripts" / "map.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    package = tmp_path / "tree" / "part"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text('"""A tree."""\n')
    (package.parent / "leaf.py").write_text('"""A leaf: green, and\nlong. It says more."""\n')
    (package / "__init__.py").write_text('"""A part.\n\nWith a second paragraph.\n"""\n')
    (package / "bud.py").write_text('"""A bud (arXiv:0000.00000, Eq. 3). Open."""\n')
    monkeypatch.setattr(script := module, "ROOT", tmp_path)
    monkeypatch.setattr(script, "TREES", ("tree",))
    monkeypatch.setattr(script, "PAGE", tmp_path / "page.md")
    script.PAGE.write_text("\n".join(["before", script.BEGIN, script.END, *script.LAYERS, "after", ""]))
    layers = '[[tool.importlinter.contracts]]\nlayers = ["tree", "part"]\n'
    (tmp_path / "pyproject.toml").write_text(layers)
    return script


def test_the_map_lists_files_then_folders_by_the_first_sentence_of_their_docstrings(script):
    rows = [line.split(maxsplit=1) for line in script.build_map(script.ROOT, script.TREES).splitlines()[1:-1]]
    assert rows == [
        ["tree/", "A tree"],
        ["leaf.py", "A leaf: green, and long"],
        ["part/", "A part"],
        ["bud.py", "A bud (arXiv:0000.00000, Eq. 3)"],
    ]


def test_a_written_map_passes_the_check_until_a_docstring_changes(script, capsys):
    assert script.main([]) == 0
    page = script.PAGE.read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "tree\npart\n" in page
    assert script.main(["--check"]) == 0
    (script.ROOT / "tree" / "leaf.py").write_text('"""Another leaf."""\n')
    assert script.main(["--check"]) == 1
    assert "run python scripts/map.py" in capsys.readouterr().err
    assert script.PAGE.read_text() == page


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [("tree/leaf.py", "x = 1\n", "start the file with one sentence"), ("page.md", "no markers\n", "add the lines")],
)
def test_what_prevents_a_map_is_one_line_with_the_remedy(script, capsys, name, text, remedy):
    (script.ROOT / name).write_text(text)
    assert script.main([]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert remedy in lines[0]


def test_every_folder_and_file_of_the_package_is_in_the_page():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for module in (ROOT / "src" / "sr3").rglob("*.py"):
        name = module.parent.name + "/" if module.name == "__init__.py" else module.name
        assert f" {name} " in page or f"{name} " in page, module
