"""mkdocs hooks: generated pages, model cards, notebooks, links out of docs/, and formulas as MathML."""

import html
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import jupytext
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import reference

ROOT = Path(__file__).parents[1]
CARDS = {path.relative_to(ROOT).as_posix(): f"cards/{path.stem}.md" for path in ROOT.glob("**/weights/*-*.md")}
"""Model cards, which are stored beside the weights, and their pages."""
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(((?!https?:|mailto:|#)[^)\s#]+)(#[^)\s]*)?\)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 (mkdocs hands over a dictionary)
    """Add the pages of the reference, the model cards, and each tutorial as a notebook."""
    made = reference.pages() | {
        page: relink((ROOT / card).read_text(encoding="utf-8"), card, page) for card, page in CARDS.items()
    }
    for tutorial in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        made[f"tutorials/{tutorial.stem}.ipynb"] = notebook(tutorial.read_text(encoding="utf-8"))
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def notebook(markdown: str) -> str:
    """Convert a tutorial to a notebook: Python blocks become cells, shell blocks become %%sh cells."""
    python = (
        "---\njupyter:\n  kernelspec:\n    display_name: Python 3\n    language: python\n    name: python3\n---\n\n"
    )
    pages = re.sub(r"(\]\((?!https?:)[^)\s#]+)\.md\b", r"\1.html", markdown)
    return jupytext.writes(jupytext.reads(python + pages, "md"), "ipynb")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:  # noqa: ANN401 (mkdocs has no types here)
    """Rewrite links that leave docs/ to the page of that file in the site."""
    if page.file.src_uri in CARDS.values():
        return markdown
    return relink(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)


def on_page_content(content: str, **_: object) -> str:
    """Convert formulas to MathML, which browsers render without scripts."""
    return _FORMULA.sub(_to_mathml, content)


def relink(markdown: str, source: str, page: str) -> str:
    """Rewrite relative links of a file of the repository for its page; a target without a page loses its link."""

    def moved(found: re.Match[str]) -> str:
        image, text, target, anchor = found.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        inside = CARDS.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if not inside:
            return text
        return f"{image}[{text}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(moved, markdown)


def _to_mathml(found: re.Match[str]) -> str:
    return convert(html.unescape(found[3]), display="inline" if found[2] == "(" else "block")
