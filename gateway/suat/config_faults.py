"""What pydantic finds wrong in a configuration, as lines for people: where, what, and what to do."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from suat.errors import did_you_mean
from suat.ingest.base import kinds as source_kinds

_LABELS = ("id", "kind", "name", "device", "field")  # keys that tell an entry of a list from the others


def fault_lines(fault: Any, content: dict[str, Any], model: type[BaseModel]) -> list[str]:
    """One pydantic fault as lines for people."""
    location = tuple(part for place, part in enumerate(fault["loc"]) if not _is_branch(part, fault["loc"][:place]))
    where = _where(location, content)
    kind = fault["type"]
    if kind == "extra_forbidden":
        known = _known_keys(location[:-1], content, model)
        return [f"{where}: unknown key{did_you_mean(str(location[-1]), known)}; known are {', '.join(known)}"]
    if kind == "missing":
        return [f"{where}: missing; add it"]
    if kind == "value_error":
        prefix = f"{where}: " if where else ""
        return [prefix + line for line in str(fault["ctx"]["error"]).split("\n")]
    if kind == "union_tag_not_found":
        return [f"{where}: kind is missing; add it"]
    if kind == "union_tag_invalid":
        known = fault["ctx"]["expected_tags"].replace("'", "").split(", ")
        tag = str(fault["ctx"]["tag"])
        return [f'{where}: "{tag}" is not one of {", ".join(known)}{did_you_mean(tag, known)}']
    if kind == "literal_error":
        expected = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        hint = did_you_mean(str(fault["input"]), expected.split(", "))
        return [f'{where}: "{fault["input"]}" is not one of {expected}{hint}']
    return [f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]} (found {fault['input']!r})"]


def _is_branch(part: Any, before: tuple[Any, ...]) -> bool:
    """Pydantic names the branch of a union in the location: noise for a reader."""
    if not isinstance(part, str) or not before:
        return False
    if len(before) == 2 and before[0] == "ingest" and part in source_kinds():
        return True
    return part.startswith(("constrained-", "dict[", "function-", "float"))


def _where(location: tuple[Any, ...], content: dict[str, Any]) -> str:
    """`paddock "jailau-1".area_ha` rather than `paddock.0.area_ha`."""
    words: list[str] = []
    here: Any = content
    for part in location:
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            label = next((here[key] for key in _LABELS if key in here), None) if isinstance(here, dict) else None
            words[-1] += f' "{label}"' if isinstance(label, str) else f" no. {part + 1}"
        else:
            here = here.get(part) if isinstance(here, dict) else None
            words.append(part)
    return ".".join(words)


def _known_keys(location: tuple[Any, ...], content: Any, model: Any) -> list[str]:
    """The keys of the table at `location` of a file that `model` describes."""
    found = [model]
    for part in location:
        content = content[part]
        if isinstance(part, str):
            found = _tables_of(found[0].model_fields[part].annotation)
        elif len(found) > 1:
            found = [table for table in found if content["kind"] in get_args(table.model_fields["kind"].annotation)]
    return list(found[0].model_fields)


def _tables_of(annotation: Any) -> list[Any]:
    """The tables that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for argument in get_args(annotation) for table in _tables_of(argument)]
