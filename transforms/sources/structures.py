"""The column `structure` of this project's own tables, as text again: what a row is beside roles and contents."""

from typing import Any

from transforms.errors import RowError
from transforms.sources.canonical import Prompt
from transforms.sources.messages import json_text, parsed_json


def read_structure(value: object) -> dict[str, Any]:
    """What is not in role and content, as `Pair.structure` wrote it; empty for a plain pair.

    Raises:
        RowError: nothing that a run of this project writes.
    """
    if value is None:
        return {}
    try:
        found = parsed_json(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(part, dict | list) for part in found.values()):
        message = f"structure is {str(value)[:60]!r}, expected what a run of this project writes there"
        raise RowError(message)
    return found


def part_of(structure: dict[str, Any], name: str) -> str:
    """One part as the JSON text that canonical pairs hold; empty for nothing."""
    return json_text(structure[name], "structure") if structure.get(name) else ""


def with_more(prompt: Prompt, structure: dict[str, Any]) -> Prompt:
    """The prompt with the further fields of its turns.

    Raises:
        RowError: fields of a turn that is not there.
    """
    further = structure.get("prompt", {})
    if not further:
        return prompt
    if not isinstance(further, dict) or not all(key.isdigit() and int(key) < len(prompt) for key in further):
        message = f"structure has fields of the turns {', '.join(map(str, further))} of a prompt of {len(prompt)}"
        raise RowError(message)
    fields = {int(key): json_text(value, "structure") for key, value in further.items()}
    return tuple(turn._replace(more=fields.get(at, "")) for at, turn in enumerate(prompt))
