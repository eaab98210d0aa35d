"""`/settings/data-import/<job>/read`: what was found out about the file, to be corrected, and its first rows (F-160)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods

from importer.errors import ImporterError
from importer.file_options import SOURCE_KEY
from importer.file_part_options import of_part, own
from importer.file_parts import Part, parts_of
from importer.models import ImportJob
from importer.operations import files
from importer.web.files.flow import LOST, Refusal, go, part_of, rows_of, shell_of, waiting_page
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say, say_count

AUTO = ""
ENCODINGS = ("utf-8", "utf-16", "windows-1252", "iso-8859-1", "iso-8859-15", "windows-1251", "shift_jis", "gb18030")
DELIMITERS = ((",", say("Comma")), (";", say("Semicolon")), ("tab", say("Tab")), ("|", say("Pipe")))
DATES = (
    ("iso", "2024-12-31"), ("DD.MM.YYYY", "31.12.2024"), ("DD/MM/YYYY", "31/12/2024"), ("MM/DD/YYYY", "12/31/2024"),
    ("auto", say("Each value by itself")),
)  # fmt: skip
ORDERS = {
    "DMY": say("day first"), "MDY": say("month first"), "YMD": say("year first"),
    "ambiguous": say("day or month first: choose"),
}  # fmt: skip
THOUSANDS = (("", say("None")), (",", say("Comma")), (".", say("Point")), (" ", say("Blank")), ("'", say("Apostrophe")))
DECIMALS = ((".", say("Point")), (",", say("Comma")))
YES_NO = (("yes", say("Yes")), ("no", say("No")))
WORKBOOKS = ("xlsx", "xls")
TREES = ("json", "xml", "yaml")
TEXT = 100  # characters of what is typed


@dataclass(frozen=True)
class Choice:
    """A select of the form."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    value: str
    hint: str = ""


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
@waiting_page
def read_page(request: PageRequest, job: ImportJob) -> HttpResponse:
    """How the file is read; each change reads its beginning anew, `go` leads to the mapping."""
    refusal: Refusal | None = None
    given = request.POST if request.method == "POST" else QueryDict()
    if request.method == "POST":
        try:
            _read_so(request, job, given)
        except LOST:
            raise
        except ImporterError as error:
            refusal = Refusal.of(error)
            job.file.refresh_from_db()
        else:
            if "go" in given:
                return go(request, "data_import_map", job.pk)
    rows: list[list[str | None]] = []
    part = part_of(request, job)
    try:
        rows = rows_of(request, job, part)
    except LOST:
        raise
    except ImporterError as error:
        refusal = refusal or Refusal.of(error)
    found, options = part.detected, of_part(job.file.import_options, part)
    context = shell_of(request, job, "read") | {
        "part": part,
        "has_ids": any(each.target_type for each in parts_of(job.file)),
        "source_key": _shown(given, "source_key", job.file.import_options.get("source_key") or SOURCE_KEY),
        "refusal": refusal,
        "detected": found,
        "order": ORDERS.get(found.get("date_order") or "", ""),
        "choices": _choices(job, part, given),
        "skip_rows": _shown(given, "skip_rows", options.get("skip_rows") or 0),
        "null_words": _shown(given, "null_words", ", ".join(_null_words(options))),
        "trims": bool(given.get("trim")) if given else bool(options.get("trim_whitespace")),
        "rows": rows,
        "is_delimited": part.file_format == "csv",
    }
    status = 422 if refusal and request.method == "POST" else 200
    return render_page(request, "importer/files/read.html", "importer/files/_read.html", context, status=status)


def _read_so(request: PageRequest, job: ImportJob, given: QueryDict) -> None:
    """Read the file as the form says. Columns that are new are mapped by name and content."""
    before = {part.key: part.headers for part in parts_of(job.file)}
    stored, part = job.file.import_options, part_of(request, job)
    if job.file.parts is None:
        files.configure(job, request.user, options=options_of(given, stored))
    else:  # all but the source is the part's own
        said = options_of(given, own(stored, part))
        source = {"source_key": said.pop("source_key", None)} if "source_key" in given else {}
        if source and (source["source_key"] or SOURCE_KEY) != (stored.get("source_key") or SOURCE_KEY):
            files.configure(job, request.user, options={**stored, **source})
        files.configure(job, request.user, part=part.place, options=said)
    for part in parts_of(job.file):
        if part.headers != before[part.key]:
            files.map_anew(job, request.user, rows_of(request, job, part), part=part.place)


def options_of(given: QueryDict, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The stored options with what the form changes; options the form does not show stay."""
    options = dict(stored)
    for name in ("encoding", "delimiter", "date_format", "sheet", "record_path", "decimal_separator", "source_key"):
        if name in given:
            _set(options, name, plain_text(given.get(name, ""), limit=TEXT) or None)
    if "thousands_separator" in given:  # a blank is a separator
        _set(options, "thousands_separator", given.get("thousands_separator", "")[:1] or None)
    if "has_headers" in given:
        options.pop("include_headers", None)
        _set(options, "has_headers", {"yes": True, "no": False}.get(given.get("has_headers", "")))
    if "skip_rows" in given:
        options.pop("skip_first_rows", None)
        text = given.get("skip_rows", "").strip()
        _set(options, "skip_rows", (int(text) if text.isdecimal() and len(text) < 8 else text) or None)
    if "null_words" in given:
        words = [word.strip() for word in plain_text(given.get("null_words", ""), limit=500).split(",")]
        _set(options, "null_values", ["", *filter(None, words)] if any(words) else None)
        _set(options, "trim_whitespace", True if given.get("trim") else None)
    return options


def _set(options: dict[str, Any], name: str, value: Any) -> None:
    options.pop(name, None)
    if value is not None:
        options[name] = value


def _null_words(options: Mapping[str, Any]) -> list[str]:
    return [word for word in options.get("null_values") or () if word]


def _shown(given: QueryDict, name: str, stored: Any) -> str:
    return str(given[name]) if name in given else str(stored)


def _choices(job: ImportJob, part: Part, given: QueryDict) -> list[Choice]:
    """The selects that matter for a file of this format."""
    found, options = part.detected, of_part(job.file.import_options, part)
    is_document = job.file.parts is not None
    words: dict[Any, str] = {True: "yes", False: "no"}
    has_headers = words.get(options.get("has_headers", options.get("include_headers")), AUTO)
    chosen = {name: str(options.get(name) or "") for name in ("encoding", "delimiter", "sheet", "record_path")}
    chosen["delimiter"] = "tab" if chosen["delimiter"] in ("\t", "\\t") else chosen["delimiter"]
    listed: list[Choice] = []
    if found.get("encoding"):
        auto = say("Found: {encoding}", encoding=found["encoding"])
        listed.append(
            _choice("encoding", say("Encoding"), [(AUTO, auto), *((each, each) for each in ENCODINGS)], chosen["encoding"],
                    str(found.get("encoding_reason") or ""))
        )  # fmt: skip
    if part.file_format == "csv":
        words = {"\t": say("Tab")} | {sign: word for sign, word in DELIMITERS if sign != "tab"}
        auto = say(
            "Found: {delimiter}",
            delimiter=words.get(found.get("delimiter") or "", found.get("delimiter") or say("none")),
        )
        listed.append(_choice("delimiter", say("Delimiter"), [(AUTO, auto), *DELIMITERS], chosen["delimiter"]))
    if part.file_format in ("csv", *WORKBOOKS):
        auto = say("Found: yes") if found.get("has_headers", True) else say("Found: no")
        listed.append(_choice("has_headers", say("First row holds the names"), [(AUTO, auto), *YES_NO], has_headers))
    if part.file_format in WORKBOOKS and not is_document:
        sheets = [(each["name"], _sheet_words(each)) for each in found.get("sheets") or ()]
        auto = say("First visible: {sheet}", sheet=found.get("sheet") or say("none"))
        listed.append(_choice("sheet", say("Sheet"), [(AUTO, auto), *sheets], chosen["sheet"]))
    if part.file_format in TREES and not is_document:
        paths = [(each["path"], f"{each['path']} ({each['count']:,})") for each in found.get("record_paths") or ()]
        auto = say("Found: {record_path}", record_path=found.get("record_path") or say("the whole document"))
        listed.append(
            _choice("record_path", say("Where the records are"), [(AUTO, auto), *paths], chosen["record_path"])
        )
    order = ORDERS.get(found.get("date_order") or "", "")
    listed += [
        _choice("date_format", say("Dates"), DATES, str(options.get("date_format") or "iso"),
                say("Found in the file: {order}.", order=order) if order else ""),
        _choice("decimal_separator", say("Decimal sign"), DECIMALS, str(options.get("decimal_separator") or ".")),
        _choice("thousands_separator", say("Thousands separator"), THOUSANDS, str(options.get("thousands_separator") or "")),
    ]  # fmt: skip
    return [Choice(each.name, each.label, each.options, given.get(each.name, each.value), each.hint) for each in listed]


def _choice(name: str, label: str, options: Sequence[tuple[str, str]], value: str, hint: str = "") -> Choice:
    """A select that has its own value among its options, whoever set it."""
    offered = list(options) if value in dict(options) else [*options, (value, value)]
    return Choice(name, label, offered, value, hint)


def _sheet_words(sheet: Mapping[str, Any]) -> str:
    name, rows = sheet["name"], sheet.get("rows")
    if sheet.get("hidden"):
        return (
            say_count("{name} ({count} row), hidden", "{name} ({count:,} rows), hidden", rows, name=name)
            if rows
            else say("{name}, hidden", name=name)
        )
    return say_count("{name} ({count} row)", "{name} ({count:,} rows)", rows, name=name) if rows else str(name)
