"""Records of documents: where they repeat, flattened to columns, nested values as JSON text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from servicevault.tabular import headers
from servicevault.tabular.contract import with_notices
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.records import BOOLEAN, JSON, NUMBER, Detection, Notice, Problem, Reading, Record, RecordPath
from servicevault.tabular.values import Numeral, to_json
from servicevault.wording import say

WHOLE = "$"  # the path of a document that is one record
VALUE = "value"  # the column of elements that are no objects
Element = tuple[str, Any]  # record path, value
PLAIN_PATH = re.compile(r"[/.]+")


class Doubtful(dict[str, Any]):
    """An object that names a key twice; `repeated` is the first such key."""

    repeated = ""


def mapping_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these pairs, marked where a key is repeated; the last value stays."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubtful = Doubtful(found)
    doubtful.repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return doubtful


def plain_path(path: str | None) -> str | None:
    """Return a record path people wrote (`users`, `data.items`, `/users/user`) in the form of ours."""
    return path if path in {None, WHOLE} else ".".join(part for part in PLAIN_PATH.split(path or "") if part)


def inspect_tree(elements: Iterable[Element], found: Detection) -> Detection:
    """Return the detection with record paths: the largest list of objects is chosen, the others are offered."""
    counts: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for path, value in elements:
        (counts if isinstance(value, dict) else plain)[path] += 1
    if not counts:
        chosen = "" if "" in plain else WHOLE
        return replace(found, record_path=chosen, record_paths=(RecordPath(chosen, max(plain[chosen], 1)),))
    paths = tuple(RecordPath(path, count) for path, count in counts.most_common())
    found = replace(found, record_path=paths[0].path, record_paths=paths)
    if len(paths) == 1:
        return found
    others = ", ".join(f"`{each.path}` ({each.count:,})" for each in paths[1:6])
    message = say(
        "Records are read from `{path}` ({count:,}). Also there: {others}.",
        path=paths[0].path,
        count=paths[0].count,
        others=others,
    )
    return with_notices(found, Notice("several_record_paths", message))


def read_tree(elements: Iterable[Element], options: ReadOptions, limits: Limits) -> Reading:
    """Return the records at the options' path; columns are added as they appear."""
    reading = Reading([], iter(()))
    reading.records = _records(elements, options, limits, reading.headers)
    return reading


def _records(elements: Iterable[Element], options: ReadOptions, limits: Limits, names: list[str]) -> Iterator[Record]:
    wanted, number, seen = plain_path(options.record_path), 0, set()
    columns = Columns(names, limits)
    for path, value in elements:
        if wanted is not None and path != wanted:
            seen.add(path)
            continue
        number += 1
        yield columns.record(value, number, number, flatten=options.flatten)
    if wanted and number == 0 and wanted != WHOLE:
        if not seen:
            raise FileRejected(say("No records at `{wanted}`. Choose another record path.", wanted=wanted))
        raise FileRejected(
            say(
                "No records at `{wanted}`. There is: {seen}. Choose another record path.",
                wanted=wanted,
                seen=", ".join(sorted(seen)[:10]),
            )
        )


class Columns:
    """The union of the fields of all records, in the order of their first appearance."""

    def __init__(self, names: list[str], limits: Limits) -> None:
        self._names = names
        self._positions: dict[str, int] = {}
        self._limits = limits

    def record(self, value: Any, line: int, number: int, *, flatten: bool) -> Record:
        """Return an element as a record; missing fields are NULL."""
        hints: dict[int, str] = {}
        if is_deeper(value, self._limits.nesting):
            message = say(
                "Record {number} is nested deeper than {nesting} levels.", number=number, nesting=self._limits.nesting
            )
            return Record(line, number, [], hints, [Problem("too_deep", message)])
        problems: list[Problem] = []
        if isinstance(value, Doubtful):
            problems.append(
                Problem(
                    "duplicate_key", say("The key `{repeated}` stands twice.", repeated=value.repeated), value.repeated
                )
            )
        fields = value if isinstance(value, dict) else {VALUE: value}
        cells: list[str | None] = [None] * len(self._names)
        for name, leaf in _flat(fields, "") if flatten else fields.items():
            position = self._position(name, cells)
            cells[position], hint = _cell(leaf)
            if hint:
                hints[position] = hint
        return Record(line, number, cells, hints, problems)

    def _position(self, name: str, cells: list[str | None]) -> int:
        position = self._positions.get(name)
        if position is None:
            position = self._positions[name] = len(self._names)
            headers.check_columns(position + 1, self._limits)
            self._names.append(headers.checked(name))
        cells.extend([None] * (position + 1 - len(cells)))
        return position


def _flat(fields: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _cell(value: Any) -> tuple[str | None, str]:
    if value is None:
        return None, ""
    if isinstance(value, Numeral):
        return str.__str__(value), NUMBER
    if isinstance(value, str):
        return value, ""
    if isinstance(value, bool):
        return ("true" if value else "false"), BOOLEAN
    return to_json(value), JSON


def is_deeper(value: Any, levels: int) -> bool:
    """Say whether a value is nested deeper than so many levels; looks no deeper than that."""
    if isinstance(value, dict):
        children: Iterable[Any] = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return False
    return levels == 0 or any(is_deeper(child, levels - 1) for child in children)
