"""Generate the map of the source tree and its layers in docs/design.md, from docstrings and pyproject.toml.

python scripts/map.py            writes both between their markers
python scripts/map.py --check    exits with 1 and prints how to update the map when it is out of date
"""

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design.md"
TREES = ("src/sr3", "benchmarks", "scripts")
BEGIN = "<!-- map: written by scripts/map.py -->"
END = "<!-- map: end -->"
LAYERS = ("<!-- layers: written by scripts/map.py -->", "<!-- layers: end -->")
INDENT = "  "
COLUMN = 30
"""Width of the names before the sentences."""
SENTENCE_END = re.compile(r"(?<!\bEq)\.(?: |$)")
"""A full stop, but not the one of `Eq. 6`."""


class MapError(Exception):
    """A module without a docstring, or a page without markers."""


def first_sentence(module: Path) -> str:
    """Read the first sentence of a module's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not docstring:
        raise MapError(f"{module}: has no docstring; start the file with one sentence that describes it")
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return SENTENCE_END.split(paragraph)[0]


def lines_of(folder: Path, depth: int = 1) -> Iterator[str]:
    """List a folder: its modules, then the packages below it, each by name."""
    for module in sorted(folder.glob("*.py")):
        if module.name != "__init__.py":
            yield line(module.name, depth, module)
    for package in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield line(f"{package.name}/", depth, package / "__init__.py")
        yield from lines_of(package, depth + 1)


def line(name: str, depth: int, module: Path) -> str:
    """Format one name, indented by its depth, with the sentence of its module."""
    return f"{INDENT * depth + name:<{COLUMN}} {first_sentence(module)}"


def build_map(root: Path, trees: Sequence[str]) -> str:
    """Build the map of trees below root, as a code block."""
    found: list[str] = []
    for tree in trees:
        package = root / tree / "__init__.py"
        found.append(line(f"{tree}/", 0, package) if package.exists() else f"{tree}/")
        found.extend(lines_of(root / tree))
    return "\n".join(["```", *found, "```"])


def build_layers(root: Path) -> str:
    """List the layers of the first contract in pyproject.toml, from top to bottom."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return "\n".join(["```", *contract["layers"], "```"])


def with_map(page: str, built: str, markers: tuple[str, str] = (BEGIN, END)) -> str:
    """Insert a block between two markers of a page; MapError when they are missing."""
    first, last = markers
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise MapError(f"{PAGE}: lacks the markers of the map; add the lines {first} and {last} where it belongs")
    return f"{before}{first}\n{built}\n{last}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the map; returns 0, or 1 when the map is out of date or cannot be built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the map is out of date")
    options = parser.parse_args(arguments)
    try:
        page = PAGE.read_text(encoding="utf-8")
        expected = with_map(with_map(page, build_map(ROOT, TREES)), build_layers(ROOT), LAYERS)
    except MapError as error:
        print(f"map.py: {error}", file=sys.stderr)
        return 1
    if page == expected:
        return 0
    if options.check:
        print(f"{PAGE.relative_to(ROOT)}: its map is out of date; run python scripts/map.py", file=sys.stderr)
        return 1
    PAGE.write_text(expected, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
