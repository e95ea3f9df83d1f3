"""`docs/record.md` and `docs/record.schema.json`, made from the record's schema.

`python -m maa_bench.report.record_docs docs` writes both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from maa_bench.candidate_rows import CANDIDATE_COLUMNS
from maa_bench.episodes import EPISODE_COLUMNS
from maa_bench.record import SCHEMA_VERSION, record_schema

_INTRODUCTION = f"""\
# The run record

<!-- Made by `python -m maa_bench.report.record_docs docs`; do not edit. -->

A run of a method writes one folder, `results/<method>/<run_id>/`, whole or not at all:

| file | what it holds |
|---|---|
| `record.json` | the keys below; JSON, keys sorted, schema version {SCHEMA_VERSION} |
| `episodes.parquet` | one row a rollout; every metric is made of these rows and can be made again |
| `candidates.parquet` | one row a candidate: the hash of its parameters, and how new it is |
| `candidates.safetensors` | the generated parameters; not committed, but the record holds their SHA-256 |

Unknown keys, NaN and infinity are refused. `record.schema.json` beside this page is the JSON Schema
(`maa_bench.record.record_schema()`). `load_record` reads a record and checks its files, `validate_record` also
makes its metrics again from the episodes, and `write_record` writes one. Records of schema version 1 still load: what
they lack is made of their episodes, and they have no `candidates.parquet`.
"""


def record_markdown() -> str:
    """The whole page."""
    schema = record_schema()
    page = [_INTRODUCTION, "\n## `record.json`\n\n", _table(schema)]
    for path, definition in _objects(schema):
        page.append(f"\n### `{path}`\n\n{definition['description']}\n\n{_table(definition)}")
    page.append(
        "\n## `episodes.parquet`\n\n"
        "Rows are sorted by task (in the split's order), `train_seed`, `candidate`, `layout_set`, `layout`. "
        "Every combination occurs once and no cell is empty.\n\n| column | type | meaning |\n|---|---|---|\n"
    )
    page += [f"| `{c.name}` | {c.type} | {_escaped(c.description)} |\n" for c in EPISODE_COLUMNS]
    page.append(
        "\n## `candidates.parquet`\n\n"
        "Rows are sorted by task (in the split's order), `train_seed`, `candidate`.\n\n"
        "| column | type | meaning |\n|---|---|---|\n"
    )
    page += [f"| `{c.name}` | {c.type} | {_escaped(c.description)} |\n" for c in CANDIDATE_COLUMNS]
    return "".join(page)


def _objects(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(path, definition) of every nested object, in the order of the record; each definition once."""
    found: list[tuple[str, dict[str, Any]]] = []
    seen: set[str] = set()

    def walk(node: dict[str, Any], path: str) -> None:
        for name, prop in node.get("properties", {}).items():
            for suffix, target in _targets(prop):
                if target not in seen:
                    seen.add(target)
                    here = f"{path}{name}{suffix}"
                    found.append((here, schema["$defs"][target]))
                    walk(schema["$defs"][target], here + ".")

    walk(schema, "")
    return found


def _targets(prop: dict[str, Any]) -> list[tuple[str, str]]:
    """(path suffix, definition name) of the objects that a property may hold."""
    if "$ref" in prop:
        return [("", prop["$ref"].rsplit("/", 1)[1])]
    if isinstance(prop.get("additionalProperties"), dict):
        return [(".<name>" + suffix, target) for suffix, target in _targets(prop["additionalProperties"])]
    return [found for option in prop.get("anyOf", []) for found in _targets(option)]


def _table(definition: dict[str, Any]) -> str:
    rows = ["| key | type | meaning |\n|---|---|---|\n"]
    for name, prop in definition["properties"].items():
        rows.append(f"| `{name}` | {_type(prop)} | {_escaped(prop.get('description', ''))} |\n")
    return "".join(rows)


def _type(prop: dict[str, Any]) -> str:
    """A property's type in words."""
    if "$ref" in prop:
        return "object"
    if "anyOf" in prop:
        return " or ".join(_type(option) for option in prop["anyOf"])
    if "const" in prop:
        return f"`{prop['const']}`"
    if "enum" in prop:
        return ", ".join(f"`{value}`" for value in prop["enum"])
    kind = str(prop["type"])
    if kind == "array":
        inner = prop.get("items") or prop["prefixItems"][0]
        size = f"{prop['maxItems']} x " if "maxItems" in prop else ""
        return f"array of {size}{_type(inner)}"
    if kind == "object":
        return f"object: name to {_type(prop['additionalProperties'])}"
    return kind


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def schema_json() -> str:
    """The JSON Schema as a file."""
    return json.dumps(record_schema(), indent=1) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "record.md").write_text(record_markdown(), encoding="utf-8")
    (folder / "record.schema.json").write_text(schema_json(), encoding="utf-8")
