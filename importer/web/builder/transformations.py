"""Transformations as forms: the registry's kinds with their parameters, and what was typed as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from importer.errors import ImporterError
from importer.pipeline.transforms import KINDS, transform
from importer.pipeline.transforms import Parameter as Described
from importer.web.builder.body import Body
from servicevault.wording import say

_CASE = re.compile(r"\s*(<=|>=|<>|!=|=|<|>)?\s*(.*?)\s*=>\s*(.*)")


@dataclass(frozen=True)
class Parameter:
    """One input of a transformation's form."""

    name: str
    label: str
    control: str  # text, number, lines or choice
    value: str
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One transformation of a field, as its form shows it."""

    number: int
    name: str
    label: str
    example: tuple[str, str]
    parameters: list[Parameter]
    fault: str


def choices() -> list[tuple[str, str]]:
    """Names and labels to choose from."""
    return sorted(((kind.name, kind.label) for kind in KINDS.values()), key=lambda item: item[1].casefold())


def steps_of(field: Body) -> list[Step]:
    found = []
    for number, item in enumerate(field.get("transformation") or []):
        name, params = str(item.get("name") or ""), dict(item.get("params") or {})
        kind = KINDS.get(name)
        parameters = [_parameter(given, params) for given in _described(name)]
        found.append(
            Step(
                number, name, kind.label if kind else name, kind.example if kind else ("", ""), parameters,
                fault_of(name, params),
            )
        )  # fmt: skip
    return found


def fault_of(name: str, params: Mapping[str, Any]) -> str:
    """Why a transformation cannot be applied as it stands; "" when it can."""
    if name == "map":
        return ""  # value maps are filled on their own page
    try:
        transform(name, params)
    except ImporterError as error:
        return str(error)
    return ""


def _described(name: str) -> tuple[Described, ...]:
    return KINDS[name].parameters if name in KINDS else ()


def _parameter(given: Described, params: Mapping[str, Any]) -> Parameter:
    control = {"integer": "number", "list": "lines", "cases": "lines"}.get(given.type, "text")
    helps = {"list": say("One value a line."), "cases": say("One case a line: value => result, or >= 5 => result.")}
    return Parameter(
        given.name,
        given.label,
        "choice" if given.choices else control,
        _shown(given.type, _given(given, params)),
        " ".join(text for text in (given.help, helps.get(given.type, "")) if text),
        tuple(given.choices()) if given.choices else (),
    )


def _given(described: Described, params: Mapping[str, Any]) -> Any:
    """The value of a parameter under whichever of its names it was given, else its default."""
    names = (described.name, *described.aliases)
    default = "" if described.required else described.default
    return next((params[name] for name in names if name in params), default)


def _shown(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "cases" and isinstance(value, list):
        return "\n".join(_shown_case(case) for case in value if isinstance(case, Mapping))
    if isinstance(value, list | tuple):
        return "\n".join(str(item) for item in value)
    return str(value)


def _shown_case(case: Mapping[str, Any]) -> str:
    when = case.get("when")
    when = when if isinstance(when, Mapping) else {"value": when}
    operator = when.get("operator") or "="
    then = "" if case.get("then") is None else case["then"]
    return f"{'' if operator == '=' else f'{operator} '}{when.get('value')} => {then}"


def added(name: str) -> Body:
    """A transformation that was just chosen, with what its parameters begin with."""
    begins: dict[str, Any] = {"integer": 1, "list": [], "cases": []}
    return {
        "name": name,
        "params": {
            item.name: begins.get(item.type, "") if item.required else item.default for item in _described(name)
        },
    }


def read(field: Body, post: QueryDict) -> list[Body]:
    """The transformations with the parameters a form sent: `p<number>.<name>`."""
    found = []
    for number, item in enumerate(field.get("transformation") or []):
        params = dict(item.get("params") or {})
        for given in _described(str(item.get("name") or "")):
            text = post.get(f"p{number}.{given.name}")
            if text is not None:
                for alias in given.aliases:
                    params.pop(alias, None)
                params[given.name] = None if text == "" and given.default is None else _read_value(given.type, text)
        found.append({**item, "params": params})
    return found


def _read_value(kind: str, text: str) -> Any:
    match kind:
        case "integer":
            return int(text) if re.fullmatch(r"-?\d{1,9}", text.strip()) else text
        case "list":
            return [line for line in text.replace("\r", "").split("\n") if line]
        case "cases":
            return [_read_case(line) for line in text.replace("\r", "").split("\n") if line.strip()]
    return text


def _read_case(line: str) -> Body:
    found = _CASE.fullmatch(line)
    operator, value, then = found.groups() if found else (None, line.strip(), "")
    number = re.fullmatch(r"-?\d{1,15}", value) if operator in ("<", "<=", ">", ">=") else None
    return {"when": {"operator": operator or "=", "value": int(value) if number else value}, "then": then}
