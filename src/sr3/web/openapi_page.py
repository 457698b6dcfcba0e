"""The OpenAPI description as a page of plain HTML: no script, nothing from other sites."""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["STYLE", "openapi_page"]

STYLE = """\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font: 0.9rem/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid; border-radius: 0.25rem; }
section { border-top: 1px solid; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1rem 0.25rem 0; }
"""
"""Style of the page, which its policy wants in a file of its own."""

Schema = Mapping[str, Any]


def openapi_page(description: Schema) -> str:
    """Write the page of an OpenAPI description."""
    title = html.escape(f"{description['info']['title']} {description['info']['version']}")
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="docs.css"></head><body>',
        f"<main><h1>{title}</h1>",
        f"<p>{html.escape(description['info'].get('description', ''))}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            parts += _operation(path, method, operation)
    parts.append("<h2>Schemas</h2>")
    for name, schema in description.get("components", {}).get("schemas", {}).items():
        parts += _schema(name, schema)
    return "\n".join([*parts, "</main></body></html>\n"])


def _operation(path: str, method: str, operation: Schema) -> Iterator[str]:
    yield f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
    yield f"<p>{html.escape(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        rows = [
            (f"{one['name']} ({one['in']})", _type(one["schema"]), one.get("description", "")) for one in parameters
        ]
        yield _table(("parameter", "type", "meaning"), rows)
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: <code>{html.escape(kind)}</code>, {_type(body['schema'])}</p>"
    rows = [(status, _content(one), one.get("description", "")) for status, one in operation["responses"].items()]
    yield _table(("status", "response", "meaning"), rows)
    yield "</section>"


def _content(response: Schema) -> str:
    found = response.get("content", {})
    return ", ".join(f"{html.escape(kind)} {_type(body.get('schema', {}))}".strip() for kind, body in found.items())


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f'<section id="{html.escape(name)}"><h3><code>{html.escape(name)}</code></h3>'
    yield f"<p>{html.escape(schema.get('description', ''))}</p>"
    rows = [(field, _type(one), _meaning(one)) for field, one in schema.get("properties", {}).items()]
    yield _table(("field", "type", "meaning"), rows)
    yield "</section>"


def _meaning(schema: Schema) -> str:
    default = f" Default: {json.dumps(schema['default'])}." if schema.get("default") is not None else ""
    return schema.get("description", "") + default


def _type(schema: Schema) -> str:
    """Write a type as HTML, with links to schemas."""
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{html.escape(json.dumps(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{html.escape(json.dumps(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}".strip()
    return html.escape(str(schema.get("type", "")))


def _table(head: tuple[str, ...], rows: list[tuple[str, str, str]]) -> str:
    """Write a table whose second column is HTML already."""
    if not rows:
        return ""
    titles = "".join(f"<th>{title}</th>" for title in head)
    lines = [
        f"<tr><td><code>{html.escape(first)}</code></td><td>{kind}</td><td>{html.escape(text)}</td></tr>"
        for first, kind, text in rows
    ]
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
