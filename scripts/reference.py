"""Generate the pages of the reference: command line, settings and Python API, as Markdown.

They are made from the parser, the settings and the file names themselves, whenever the pages are built, so they cannot
differ from the code. This script does not depend on mkdocs: scripts/mkdocs_hooks.py adds the pages to the site.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sr3.cli.app import app
from sr3.cli.help import UNTITLED
from sr3.config import AdversaryConfig, Config

PACKAGE = Path(__file__).parents[1] / "src" / "sr3"
API = {
    "diffusion": "Process, schedules, denoiser, objectives and samplers.",
    "networks": "The networks.",
    "metrics": "Metrics of images, of samples and of sets of images.",
    "config": "Settings as Python classes.",
}
"""Packages that have an API page, with a line each."""
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}
_LENGTHS = {"min_length": "at least {} items", "max_length": "at most {} items"}
_NAMES = {int: "integer", float: "number", str: "text", bool: "`true` or `false`", NoneType: "none"}


def pages() -> dict[str, str]:
    """All generated pages, by their path below docs/."""
    api = {f"reference/api/{name}.md": package_page(name, text) for name, text in API.items()}
    return {
        "reference/command-line.md": command_line_page(),
        "reference/settings.md": settings_page(),
        "reference/api/sr3.md": "# sr3\n\n`import sr3` loads no torch; each name is loaded on first use.\n\n::: sr3\n\n"
        "::: sr3.training.plan\n\n::: sr3.training.events\n",
        "reference/api/batch.md": "# sr3.batch\n\nA worker for Ray Data and other batch engines.\n\n::: sr3.batch\n",
        **api,
    }


def command_line_page() -> str:
    """Describe every command: usage, options by group, examples."""
    parts = [
        "# Command line\n\nThis page is made from the parser of `sr3`. `sr3 COMMAND --help` prints the same.\n",
        "Every failure is one line on stderr that begins with `sr3:`; warnings begin with `sr3: warning:`.\n",
        "## Exit codes\n\n| code | meaning |\n|---|---|\n"
        "| 0 | Done. `train` also exits with 0 after SIGTERM, once the run is saved. |\n"
        "| 1 | Some inputs failed and the others are done (`upscale`, `prepare`); a metric moved (`evaluate --check`). "
        "|\n"
        "| 2 | Nothing could be done: an option, a setting, a file or every input is wrong. The message says what to "
        "change. |\n"
        "| 130 | Stopped by Ctrl-C. No file is half-written; finished results stay, and a training run is saved. |\n",
    ]
    root = typer.main.get_command(app)
    for path, command in _commands(root, ("sr3",)):
        context = command.make_context(" ".join(path), [], resilient_parsing=True)
        parts.append(f"## {' '.join(path)}\n\n{inspect.cleandoc(command.help or '')}\n")
        parts.append(f"```text\n{' '.join([*path, *command.collect_usage_pieces(context)])}\n```\n")
        for title, records in _groups(command, context).items():
            rows = "".join(f"| `{name}` | {_cell(text)} |\n" for name, text in records)
            parts.append(f"**{title}**\n\n| option | meaning |\n|---|---|\n{rows}")
        parts.append(f"```sh\n{(command.epilog or '').strip()}\n```\n")
    return "\n".join(parts)


def settings_page() -> str:
    """Describe every setting: type and range, default, meaning."""
    parts = [
        "# Settings\n\nThis page is made from `sr3.config`. A settings file is TOML with one table per section; "
        "`sr3 train --set section.name=value` changes one setting of a preset or a file. Defaults are those of the "
        "settings tree, the paper's where it gives one, and not those of a preset: `sr3 inspect PRESET` prints those. "
        "A misspelt name, a value out of range and settings that contradict each other are refused before anything "
        "starts.\n"
    ]
    for section, field in Config.model_fields.items():
        classes = list(dict.fromkeys(_classes(field.annotation)))
        default = field.get_default(call_default_factory=True)
        parts.append(f"## `[{section}]`\n")
        if default is None:
            parts.append(f"{_docs(Config).get(section, '')}\n")
        for one in classes:
            if len(classes) > 1:
                parts.append(f"### {_tag(one)}\n")
            parts.append(f"{inspect.cleandoc(one.__doc__ or '')}\n")
            parts.append("| setting | values | default | meaning |\n|---|---|---|---|\n" + "".join(_rows(one)))
    return "\n".join(parts)


def package_page(name: str, text: str) -> str:
    """List the modules of a package for mkdocstrings."""
    folder = PACKAGE / name
    found = [path.relative_to(PACKAGE.parent).with_suffix("") for path in sorted(folder.rglob("*.py"))]
    modules = [".".join(path.parts) for path in found if not path.name.startswith("_")]
    return f"# sr3.{name}\n\n{text}\n\n" + "\n".join(f"::: {module}\n" for module in modules)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 (click's)
    if len(path) > 1 and not hasattr(command, "commands"):
        yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(one, (*path, name))


def _groups(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:  # noqa: ANN401 (click's)
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(context):
        title = getattr(param, "rich_help_panel", None) or UNTITLED
        record = param.get_help_record(context)
        if title != UNTITLED and record is not None:
            groups.setdefault(title, []).append(record)
    return groups


def _tag(settings: type[BaseModel]) -> str:
    """The discriminating setting of a class, such as `family = "biggan"`, or its name without one."""
    kinds = {name: get_args(one.annotation) for name, one in settings.model_fields.items()}
    tags = [
        f"`{name} = {_toml(values[0])}`"
        for name, values in kinds.items()
        if values == (settings.model_fields[name].default,)
    ]
    return ", ".join(tags) or settings.__name__


def _rows(settings: type[BaseModel]) -> Iterator[str]:
    docs = _docs(settings)
    for name, field in settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if default is PydanticUndefined else "none" if default is None else f"`{_toml(default)}`"
        values = _values(field.annotation, field.metadata)
        yield f"| `{name}` | {values} | {shown} | {_cell(docs.get(name, ''))} |\n"


def _values(annotation: Any, metadata: Any = ()) -> str:  # noqa: ANN401 (any type)
    """Describe the values of a setting."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        return ", ".join(f"`{_toml(one)}`" for one in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_values(one) for one in arguments)
    if origin is tuple:
        return ", ".join([f"list of: {_values(arguments[0])}", *_limits(metadata)])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a table ({annotation.__name__})"
    return ", ".join([_NAMES.get(annotation, str(annotation)), *_limits(metadata)])


def _limits(metadata: Any) -> Iterator[str]:  # noqa: ANN401 (pydantic's)
    for one in metadata:
        for part in (one, *getattr(one, "metadata", ())):
            for name, words in _BOUNDS.items():
                if getattr(part, name, None) is not None:
                    yield f"{words} {getattr(part, name):,}"
            for name, words in _LENGTHS.items():
                if getattr(part, name, None) is not None:
                    yield words.format(getattr(part, name))


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 (any type)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from (one for one in _classes(field.annotation) if one is AdversaryConfig)
    for one in get_args(annotation):
        yield from _classes(one)


def _docs(settings: type[BaseModel]) -> Mapping[str, str]:
    """Collect the docstrings below the fields of a class and of its bases."""
    found: dict[str, str] = {}
    for one in reversed([kind for kind in settings.__mro__ if issubclass(kind, BaseModel) and kind is not BaseModel]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        for field, doc in zip(body.body, body.body[1:], strict=False):
            match field, doc:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = text
    return found


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return json.dumps(value) if isinstance(value, str | bool) else f"{value}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
