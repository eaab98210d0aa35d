"""The form of the export page: what its fields say, as an export; every state of it is an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, QueryDict

from exporter import operations
from exporter.errors import NotPermitted, UnknownTable
from exporter.operations import Described
from exporter.planning import SHEET_ROWS
from exporter.wanted import Wanted
from exporter.web.parameters import Parameters
from importer.query.operators import FILTER_OPERATORS, filter_operator
from permissions.tables import allows_format
from servicevault.wording import say

OPERATORS = (
    ("equals", say("is")), ("not_equals", say("is not")), ("contains", say("contains")), ("not_contains", say("does not contain")),
    ("starts_with", say("starts with")), ("ends_with", say("ends with")), ("greater_than", say("is greater than")),
    ("greater_or_equal", say("is at least")), ("less_than", say("is less than")), ("less_or_equal", say("is at most")),
    ("between", say("is between (a, b)")), ("in", say("is one of (a, b, c)")), ("not_in", say("is none of (a, b, c)")),
    ("is_null", say("is empty (NULL)")), ("is_not_null", say("is not empty")),
)  # fmt: skip
FORMATS = (
    ("csv", "CSV", say("Opens everywhere; the quickest for large tables")),
    ("xlsx", "Excel", say("A workbook with types, frozen headers and fitted columns")),
    ("json", "JSON", say("One list of objects, types kept")),
    ("jsonl", "JSON Lines", say("One object a line, for programs that stream")),
    ("xml", "XML", say("One element a row; NULL as xsi:nil")),
    ("yaml", "YAML", say("Readable by people; texts always quoted")),
)
DATES = (("iso", "2024-12-31"), ("DD.MM.YYYY", "31.12.2024"), ("eu", "31/12/2024"), ("us", "12/31/2024"))
DELIMITERS = ((",", say("Comma")), (";", say("Semicolon")), ("\\t", say("Tab")), ("|", say("Pipe")))
ENCODINGS = (("utf-8", "UTF-8"), ("utf-8-sig", say("UTF-8 with mark, for Excel")), ("utf-16", "UTF-16"), ("windows-1252", "Windows-1252"), ("iso-8859-1", "ISO-8859-1"))  # fmt: skip
COMPRESSIONS = (("auto", say("When large")), ("none", say("Never")), ("gzip", "gzip"), ("zip", "zip"))
# option → what it is when the form says nothing
CHOICES: Mapping[str, tuple[Sequence[tuple[str, str]], str]] = {
    "date_format": (DATES, "iso"),
    "compression": (COMPRESSIONS, "auto"),
    "delimiter": (DELIMITERS, ","),
    "encoding": (ENCODINGS, "utf-8"),
}
OPTIONS_OF = {
    "csv": {"date_format", "compression", "delimiter", "encoding", "null_value", "include_headers"},
    "xlsx": {"date_format", "sheet_name", "include_headers", "freeze_headers", "auto_fit_columns"},
    "json": {"date_format", "compression", "pretty_print"},
    "jsonl": {"date_format", "compression"},
    "xml": {"date_format", "compression", "pretty_print"},
    "yaml": {"date_format", "compression"},
}
FLAGS = {"include_headers": True, "freeze_headers": True, "auto_fit_columns": True, "pretty_print": False}
MOST_FILTERS = 20


@dataclass(frozen=True)
class Filter:
    column: str = ""
    operator: str = "equals"
    value: str = ""


@dataclass(frozen=True)
class Choice:
    """A column in the list."""

    name: str
    type: str
    is_chosen: bool
    is_hidden: bool  # by the search of columns


@dataclass(frozen=True)
class FormatCard:
    name: str
    label: str
    features: str
    most_rows: int
    is_allowed: bool


@dataclass(frozen=True)
class Desk:
    """The page's state for one table."""

    described: Described
    given: QueryDict
    parameters: Parameters | None = None  # of the component it was opened from; `described` obeys them

    @classmethod
    def of(cls, user: Any, given: QueryDict) -> Desk:
        """The form of the table it names, within the bounds that came with it.

        Raises Http404 for a table that is not there, SuspiciousOperation and PermissionDenied as `unseal` does.
        """
        parameters = Parameters.unsealed(user, given.get("within", "")) if "within" in given else None
        name = given.get("table", "")
        if parameters is not None and parameters.table_name != name:
            raise SuspiciousOperation(say("These bounds belong to another table."))
        try:
            described = operations.describe(name, user, samples=False)
        except (UnknownTable, NotPermitted):
            raise Http404 from None
        return cls(within(described, parameters), given, parameters) if parameters else cls(described, given)

    @property
    def table_name(self) -> str:
        return self.described.table.name

    @cached_property
    def columns(self) -> list[Choice]:
        """Permitted columns in the order of the file."""
        known = self.described.exportable
        order = [name for name in dict.fromkeys(self.given.getlist("order")) if name in known]
        is_fresh = not order or self.given.get("of") != self.table_name  # another table: chosen anew (F-159)
        order += [name for name in known if name not in order]
        chosen = set(order) if is_fresh else set(self.given.getlist("col"))
        match self.given.get("pick"):
            case "all":
                chosen = set(order)
            case "none":
                chosen = set()
        moved = self.given.get("up")
        if moved in order and (at := order.index(moved)) > 0:
            order[at - 1], order[at] = order[at], order[at - 1]
        text = self.given.get("columns_like", "").strip().lower()
        return [Choice(name, known[name].type, name in chosen, text not in name.lower()) for name in order]

    @property
    def chosen(self) -> list[str]:
        return [column.name for column in self.columns if column.is_chosen]

    @property
    def forbidden(self) -> list[str]:
        """Columns that are there and not the person's to see: their names only (F-159)."""
        if self.parameters:
            return []  # what a page takes away is not forbidden
        return [column.name for column in self.described.table.columns if column.name not in self.described.exportable]

    @cached_property
    def filters(self) -> list[Filter]:
        rows = zip(
            self.given.getlist("f_column"),
            self.given.getlist("f_operator"),
            self.given.getlist("f_value"),
            strict=False,
        )
        return [Filter(*row) for row in rows if row[0]][:MOST_FILTERS]

    @property
    def search(self) -> str:
        return self.given.get("q", "").replace("\x00", "")[:255]

    @property
    def sort(self) -> str:
        return self.given.get("sort", "") if self.given.get("sort") in self.described.exportable else ""

    @cached_property
    def format(self) -> str:
        wanted = self.given.get("format") or (self.parameters.default_format if self.parameters else "")
        allowed = [card.name for card in self.formats if card.is_allowed]
        return wanted if wanted in allowed else (allowed or ["csv"])[0]

    @cached_property
    def formats(self) -> list[FormatCard]:
        limit = self.described.exports.max_rows_per_export
        return [
            FormatCard(
                name, label, features, min(limit, SHEET_ROWS) if name == "xlsx" else limit,
                allows_format(self.described.exports, name),
            )
            for name, label, features in FORMATS
        ]  # fmt: skip

    @property
    def is_sent(self) -> bool:
        """Whether the form was sent, so that a box that is missing is a box without its tick."""
        return self.given.get("of") == self.table_name

    @cached_property
    def options(self) -> dict[str, Any]:
        """Every option as the form says it."""
        found: dict[str, Any] = {name: self.given.get(name) or usual for name, (_, usual) in CHOICES.items()}
        for name, usual in FLAGS.items():
            found[name] = name in self.given if self.is_sent else usual
        for name in ("null_value", "sheet_name", "filename"):
            found[name] = self.given.get(name, "")[:150]
        return found

    @property
    def wanted(self) -> Wanted:
        """The export this form asks for."""
        own = OPTIONS_OF[self.format]
        options = {name: value for name, value in self.options.items() if name in own and value != ""}
        if self.options["filename"]:
            options["filename"] = self.options["filename"]
        direction = "desc" if self.given.get("direction") == "desc" else "asc"
        return Wanted(
            self.table_name,
            self.given.get("format") or self.format,  # one that is not permitted is refused, never another one taken
            self.chosen,
            [_filter(each) for each in self.filters],
            self.search,
            sort=[{"column": self.sort, "direction": direction}] if self.sort else [],
            export_options=options,
            within=self.parameters.bounds.stored if self.parameters else {},
        )


def within(described: Described, parameters: Parameters) -> Described:
    """What is left of the table within the component's bounds."""
    bounds = parameters.bounds
    return replace(
        described, exports=bounds.narrowed(described.exports), exportable=bounds.left_of(described.exportable)
    )


def _filter(each: Filter) -> dict[str, Any]:
    operator = filter_operator(each.operator)
    found: dict[str, Any] = {"column": each.column, "operator": each.operator}
    if operator is None or FILTER_OPERATORS[operator.name].arity == "none":
        return found
    if operator.arity == "pair":
        low, _, high = each.value.partition(",")
        return found | {"value": low.strip(), "value2": high.strip()}
    return found | {"value": each.value}
