"""Messages to sinks, held against the schema that is published for their receivers."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "alert-message.schema.json").read_text(encoding="utf-8"))


def faults(message: Mapping[str, Any]) -> list[str]:
    """Say what in a message is not as the schema says, and which of its fields the schema does not know."""
    wrong = Draft202012Validator(SCHEMA).iter_errors(message)
    return [f"{error.json_path}: {error.message}" for error in wrong] + list(_unknown("$", message, SCHEMA))


def _unknown(where: str, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _unknown(f"{where}[]", one, schema["items"])
    elif isinstance(value, Mapping) and "properties" in schema:
        for name, inner in value.items():
            if name in schema["properties"]:
                yield from _unknown(f"{where}.{name}", inner, schema["properties"][name])
            else:
                yield f"{where}.{name}: not in the schema"
