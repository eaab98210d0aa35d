"""YAML and JSON of packs: read strictly, written in one way, and every member's line and column."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from importer.errors import PackError
from servicevault.wording import say

TOP_ORDER = (
    "name", "platform", "database_type", "version", "description", "source_timezone", "account_strategy",
    "fingerprint", "probes", "parameters", "configuration",
)  # fmt: skip
Place = tuple[int, int]  # line and column, from 1


class PackYaml(yaml.SafeLoader):
    """Safe YAML in which only true and false are booleans, as in YAML 1.2: a join's `on` stays a word."""


PackYaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PackYaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false", re.IGNORECASE), list("tTfF"))


class _Writer(yaml.SafeDumper):
    """Texts of several lines as blocks, and quotes where `PackYaml` would read another value."""


def _text(writer: yaml.SafeDumper, value: str) -> yaml.Node:
    return writer.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Writer.add_representer(str, _text)


class NotationError(PackError):
    """A text that is no YAML or JSON; `line` and `column` say where it stops being it."""

    def __init__(self, name: str, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message, hint=say("Check indentation and quotes."), where=name)
        self.line, self.column = line, column


@dataclass(frozen=True)
class Document:
    """The values of a text as JSON has them, and where each stands."""

    data: Any
    node: yaml.Node | None = None

    @cached_property
    def places(self) -> Mapping[str, Place]:
        return dict(_places(self.node, "")) if self.node is not None else {}

    def place(self, path: str) -> Place:
        """Where the member `path` (a.b[0].c) stands, or the closest one around it."""
        while path:
            if path in self.places:
                return self.places[path]
            path = re.sub(r"(\[\d+\]|\.[^.\[\]]*|^[^.\[\]]*)$", "", path)
        return self.places.get("", (1, 1))


def read(text: str, name: str = "pack.yaml") -> Document:
    """The document of a YAML text, or of JSON when the name ends so. Raises NotationError with line and column."""
    is_json = name.lower().endswith(".json")
    try:
        data = json.loads(text) if is_json else None
        loader = PackYaml(text)
        node = loader.get_single_node()
        if not is_json and node is not None:
            data = _json(loader.construct_document(node))
    except json.JSONDecodeError as error:
        raise NotationError(
            name, say("{name} cannot be read as JSON: {msg}.", name=name, msg=error.msg), error.lineno, error.colno
        ) from None
    except yaml.YAMLError as error:
        if is_json:
            return Document(data)
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = say(
            "{name} cannot be read as YAML, line {line}, column {column}.", name=name, line=line, column=column
        )
        raise NotationError(name, message, line, column) from None
    except (RecursionError, ValueError, TypeError):
        raise NotationError(name, say("{name} cannot be read.", name=name)) from None
    return Document(data, node)


def to_yaml(data: Any) -> str:
    """The text of a definition; equal data gives equal text, and `read` gives the data back."""
    return yaml.dump(ordered(data), Dumper=_Writer, sort_keys=False, allow_unicode=True, width=118)


def to_json(data: Any) -> str:
    return json.dumps(ordered(data), indent=2, ensure_ascii=False) + "\n"


def ordered(data: Any) -> Any:
    """The definition in one order, the top as people read it: a JSON column forgets the order of members."""
    if isinstance(data, list):
        return [ordered(item) for item in data]
    if not isinstance(data, dict):
        return data
    place = {name: index for index, name in enumerate(TOP_ORDER)} if "platform" in data else {}
    return {name: ordered(data[name]) for name in sorted(data, key=lambda name: (place.get(name, len(place)), name))}


def _places(node: yaml.Node, path: str) -> Iterator[tuple[str, Place]]:
    """The places of all members, parents first. Aliases are followed once, so a loop ends."""
    pending: list[tuple[yaml.Node, str]] = [(node, path)]
    seen: set[int] = set()
    while pending:
        current, at = pending.pop()
        yield at, (current.start_mark.line + 1, current.start_mark.column + 1)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, yaml.MappingNode):
            for key, value in current.value:
                pending.append((value, f"{at}.{key.value}" if at else str(key.value)))
        elif isinstance(current, yaml.SequenceNode):
            pending.extend((item, f"{at}[{index}]") for index, item in enumerate(current.value))


def _json(value: Any, level: int = 0) -> Any:
    """YAML's values as JSON has them: codes used as keys become texts, dates the text they were."""
    if level > 60:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {str(key): _json(item, level + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item, level + 1) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
