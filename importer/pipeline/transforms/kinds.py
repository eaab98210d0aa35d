"""What a transformation is: a name, parameters with their checks, SQL over the cell's text, an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import sql

from importer.pipeline.binding import Bind
from importer.pipeline.patterns import regex_fault
from servicevault.wording import say

Params = Mapping[str, Any]
Build = Callable[[sql.Composable, Params, Bind], sql.Composable]
ParameterType = Literal["text", "integer", "value", "list", "pattern", "zone", "date_format", "cases", "choice"]
REQUIRED: Any = object()
LABELS = {
    "cases": say("Cases"), "decimal": say("Decimal sign"), "digits": say("Digits"), "else": say("Else"),
    "fill": say("Fill with"), "format": say("Format"), "key": say("Key"), "length": say("Length"),
    "namespace": say("Namespace"), "new": say("New"), "old": say("Old"), "part": say("Part"),
    "pattern": say("Pattern"), "separator": say("Separator"), "table": say("Table"),
    "thousands": say("Thousands sign"), "timezone": say("Time zone"), "value": say("Value"), "values": say("Values"),
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One parameter of a transformation, as a form shows it."""

    name: str
    type: ParameterType = "text"
    default: Any = REQUIRED
    help: str = ""
    aliases: tuple[str, ...] = ()
    choices: Callable[[], Sequence[str]] | None = None

    @property
    def label(self) -> str:
        return LABELS[self.name]

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def fault(self, value: Any) -> str:
        """What is wrong with a value, as the end of a sentence; "" when nothing is."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        match self.type:
            case "integer" if not whole or not -1000 <= value <= 100_000:
                return say("is a whole number")
            case "text" | "zone" | "date_format" | "choice" if not isinstance(value, str):
                return say("is a text")
            case "pattern":
                return say("is a text") if not isinstance(value, str) else regex_fault(value)
            case "list" if not isinstance(value, list | tuple):
                return say("is a list")
            case "cases":
                return _cases_fault(value)
            case "choice" if self.choices and value not in self.choices():
                return say("is one of {choices}", choices=", ".join(self.choices()))
        if isinstance(value, str) and "\x00" in value:
            return say("holds a character that no database text can hold")
        return (
            "" if self.type not in {"text", "value"} or not isinstance(value, list | dict) else say("is a single value")
        )


def _cases_fault(value: Any) -> str:
    wanted = say("is a list of {when: {operator, value}, then}")
    if not isinstance(value, list | tuple) or not value or len(value) > 200:
        return wanted
    for case in value:
        if not isinstance(case, Mapping) or set(case) != {"when", "then"} or not isinstance(case["when"], Mapping):
            return wanted
        if not set(case["when"]) <= {"operator", "value"} or isinstance(case["then"], list | dict):
            return wanted
    return ""


@dataclass(frozen=True)
class Kind:
    """A transformation people choose by name."""

    name: str
    label: str
    example: tuple[str, str]  # before, after
    build: Build
    parameters: tuple[Parameter, ...] = ()
    example_params: tuple[tuple[str, Any], ...] = ()
    help: str = ""
    # What a filled cell must fulfil; a blank one becomes NULL. Anything else fails the row with `code`.
    good: Build | None = None
    code: str = ""
    message: str = ""  # follows the field's name: "is not a number"
    warns: bool = False  # the row goes in without the value
    # Runs in Python before the row is copied in, for what SQL cannot say; only at the start of a list.
    early: Callable[[str, Params], str | None] | None = None


def cell_only(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
    """The build of a transformation that Python has done already."""
    return cell


def wrap(template: str) -> Build:
    """A build that puts the cell where `{cell}` stands; parameters are `{name}`, bound as text or integer."""

    def build(cell: sql.Composable, params: Params, bind: Bind) -> sql.Composable:
        used = {name: value for name, value in params.items() if "{" + name + "}" in template}
        bound = {
            name: bind(value, "integer" if isinstance(value, int) and not isinstance(value, bool) else "text")
            for name, value in used.items()
        }
        return sql.SQL(template).format(cell=cell, **bound)

    return build


def as_text(value: Any) -> str | None:
    """A parameter's value as the cell would hold it."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
