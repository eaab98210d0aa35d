"""Auto-map: which source column most likely feeds which target field, how sure that is, and why (F-053, M8).

The same for columns of a database and headers of a file. Nothing is mapped without a person; nothing here reads data
but the samples it is given.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Literal

from importer.mapping.compatibility import judge, kind_of, samples_fit
from importer.mapping.synonyms import COMMON, SYNONYMS
from importer.query.nodes import Column
from importer.query.rendering import render
from importer.query.spec import QuerySpec
from importer.sources import naming
from importer.sources.roles import column_role
from importer.sources.schema import SourceSchema, Table
from servicevault.catalog import Field, Target
from servicevault.wording import say

EXACT, SPELLING, SYNONYM, CONTAINED, FUZZY, CONTENT = 1.0, 0.95, 0.85, 0.70, 0.60, 0.50
TYPE_MALUS = 0.30
JOINED_MALUS = 0.16  # leaves the same name preselected, and a synonym not
LEAST = 0.50  # below, nothing is proposed
FUZZY_RATIO = 0.8
MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")

Words = tuple[str, ...]
Level = Literal["High", "Medium", "Low"]


@dataclass(frozen=True)
class SourceColumn:
    """A column as a mapping may name it."""

    name: str
    table: str = ""  # its table's own name; a column "customer_name" of "customers" is a name
    type: str = ""  # as PostgreSQL prints it; "" when unknown, as in a file
    key: bool = False  # it alone identifies a row
    joined: bool = False  # of another table than the rows are of
    source: str = ""  # what a mapping writes: "c.email"; the name itself when empty
    samples: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        return self.source or self.name


@dataclass(frozen=True)
class Remembered:
    """A mapping a person confirmed earlier (M17)."""

    source: str
    target: str
    transformation: tuple[tuple[str, Mapping[str, object]], ...] = ()
    used_at: datetime | None = None
    used_by: str = ""

    @property
    def reason(self) -> str:
        day = f" on {self.used_at:%Y-%m-%d}" if self.used_at else ""
        return f"used{day}{f' by {self.used_by}' if self.used_by else ''}"


@dataclass(frozen=True)
class Proposal:
    """One pair worth a look; confidence from 0 to 1."""

    source: str
    target: str
    transformation: tuple[tuple[str, Mapping[str, object]], ...] = ()
    confidence: float = 0.0
    reason: str = ""

    @property
    def level(self) -> Level:
        return "High" if self.confidence >= 0.90 else "Medium" if self.confidence >= 0.70 else "Low"

    @property
    def preselected(self) -> bool:
        return self.level != "Low"


@dataclass(frozen=True)
class AutoMap:
    """Proposals, best first, and what they leave over."""

    mappings: tuple[Proposal, ...]
    unmapped_targets: tuple[str, ...]
    unused_sources: tuple[str, ...]


def columns_of_query(spec: QuerySpec, schema: SourceSchema) -> list[SourceColumn]:
    """The columns a builder query can use: those of its base table, then of its joins."""
    found = []
    for index, ref in enumerate((spec.base, *(join.table for join in spec.joins))):
        source = (None if ref.schema else schema.view(ref.name)) or schema.table(ref.name, ref.schema)
        if source is None:
            continue
        keys = source.single_keys() if isinstance(source, Table) else (source.key,)
        alias = ref.alias or ref.name
        found += [
            SourceColumn(
                column.name,
                source.name,
                column.type,
                key=not index and column.name in keys,
                joined=index > 0,
                source=render(Column(column.name, alias)),
            )
            for column in source.columns
        ]
    return found


def columns_of_rows(headers: Sequence[str], rows: Sequence[Sequence[object]] = ()) -> list[SourceColumn]:
    """The columns of a file, with the first values of each."""
    return [
        SourceColumn(
            header, samples=tuple(str(row[place]) for row in rows if place < len(row) and row[place] is not None)
        )
        for place, header in enumerate(headers)
    ]


def auto_map(
    target: Target,
    columns: Sequence[SourceColumn],
    *,
    remembered: Iterable[Remembered] = (),
    taken: Iterable[str] = (),
) -> AutoMap:
    """Proposals for the target's fields; each target and each source at most once, the best pair first.

    `taken` are targets that are mapped already: they are left alone. Ties go to the earlier column.
    """
    by_source = {column.written: column for column in columns}
    used_targets, used_sources = {_canonical(target, name) for name in taken}, set()
    found: list[Proposal] = []
    known = [
        Proposal(memory.source, memory.target, memory.transformation, EXACT, memory.reason)
        for memory in remembered
        if memory.source in by_source and target.field(memory.target) is not None
    ]
    scored = [
        proposal
        for field in target.fields
        for column in columns
        if (proposal := _proposal(target, field, column)) is not None
    ]
    # Stable: of equal ones the earlier field and column win.
    for proposal in [*known, *sorted(scored, key=lambda item: -item.confidence)]:
        name = _canonical(target, proposal.target)
        if name not in used_targets and proposal.source not in used_sources:
            used_targets.add(name)
            used_sources.add(proposal.source)
            found.append(replace(proposal, confidence=round(proposal.confidence, 2)))
    return AutoMap(
        mappings=tuple(found),
        unmapped_targets=tuple(field.name for field in target.fields if field.name not in used_targets),
        unused_sources=tuple(name for name in by_source if name not in used_sources),
    )


def _canonical(target: Target, name: str) -> str:
    field = target.field(name)
    return field.name if field else name


def _proposal(target: Target, field: Field, column: SourceColumn) -> Proposal | None:
    scored = _score(target, field, column)
    if scored is None:
        return None
    confidence, reason = scored
    fit = judge(column.type, field) if column.type else None
    if fit and fit.level == "incompatible":
        confidence, reason = confidence - TYPE_MALUS, f"{reason}; {fit.reason}"
    # A column that is called the same is meant, even when its values are wrong: they are told as errors then.
    if field.type == "column" and confidence < SPELLING and not samples_fit(field, column.samples):
        confidence, reason = (
            confidence - TYPE_MALUS,
            say("{reason}; the values are none of {sql_type}", reason=reason, sql_type=field.sql_type),
        )
    if round(confidence, 2) < LEAST:
        return None
    return Proposal(column.written, field.name, _transformation(field, column), confidence, reason)


def _transformation(field: Field, column: SourceColumn) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """What the values need to become the field's."""
    parts = set(words(column.name))
    if field.type == "minutes":
        if parts & {"hours", "hour", "stunden", "heures", "horas"}:
            return (("hours_to_minutes", {}),)
        if parts & {"seconds", "secs", "sec", "sekunden", "secondes", "segundos"}:
            return (("seconds_to_minutes", {}),)
    fit = judge(column.type, field) if column.type else None
    return ((fit.transformation, {}),) if fit and fit.transformation not in {"", "uuid_from_id"} else ()


# -- scores -------------------------------------------------------------------------------------------------------


def _score(target: Target, field: Field, column: SourceColumn) -> tuple[float, str] | None:
    """Of a joined table's column: as `customer_email` it is certain, as a mere `email` less so."""
    if not column.joined:
        return _own_score(target, field, column)
    if field.name == "external_id":
        return None
    with_table = replace(column, name=f"{column.table}_{column.name}", table="", joined=False, key=False)
    certain = _own_score(target, field, with_table)
    plain = _own_score(target, field, replace(column, joined=False, key=False))
    if plain is not None:
        plain = plain[0] - JOINED_MALUS, say("{plain}; of a joined table", plain=plain[1])
    return max((found for found in (certain, plain) if found), default=None)


def _own_score(target: Target, field: Field, column: SourceColumn) -> tuple[float, str] | None:
    names = (field.name, *field.aliases)
    if field.name == "external_id":
        return _key_score(column)
    if column.name in names:
        return EXACT, "same name"
    forms = _forms(column)
    if any(_same(form, words(name)) for form in forms for name in names):
        return SPELLING, "same name, written otherwise"
    if _is_reference(column) and field.reference is None and not field.choices:
        return None  # an id says nothing where a text is wanted
    synonyms = _synonyms(target, field)
    rank = next((place for place, synonym in enumerate(synonyms) if any(_same(form, synonym) for form in forms)), None)
    if rank is not None:
        # Of two columns that mean the same, the commoner word wins: user_id before author_id.
        return SYNONYM - rank / 10_000, say("“{rank}” means {field}", rank=" ".join(synonyms[rank]), field=field.name)
    if column.key or (field.reference is not None and not _is_reference(column)):
        return None
    return _loose_score(field, column, [*map(words, names), *synonyms])


def _loose_score(field: Field, column: SourceColumn, known: Sequence[Words]) -> tuple[float, str] | None:
    parts = words(column.name)
    # The last word says what a thing is: work_email is an e-mail address, email_verified is not.
    if any(len(parts) > len(name) and len("".join(name)) > 2 and _same(parts[-len(name) :], name) for name in known):
        return CONTAINED, say("ends in a word for {field}", field=field.name)
    compact = "".join(parts)
    ratio = difflib.SequenceMatcher(None, compact, "".join(words(field.name))).ratio()
    if ratio >= FUZZY_RATIO and len(compact) > 3:
        return FUZZY, say("{ratio:.0%} like {field}", ratio=ratio, field=field.name)
    return _content_score(field, column)


def _content_score(field: Field, column: SourceColumn) -> tuple[float, str] | None:
    """What the values look like, where one field only can take them."""
    role = column_role(column.name, column.type) if column.type else None
    if field.name in {"created_at", "updated_at"} and role == field.name.removesuffix("_at"):
        return SYNONYM, say("name and type of such a time")
    samples = [sample.strip() for sample in column.samples if sample and sample.strip()]
    if not samples:
        return None
    if field.type == "email" and all(MAIL.fullmatch(sample) for sample in samples):
        return CONTENT, say("the values are e-mail addresses")
    if (
        field.type == "column"
        and field.must_map
        and field.base in {"date", "timestamp", "timestamptz"}
        and all(DATE.match(sample) for sample in samples)
    ):
        return CONTENT, say("the values are dates")
    if field.must_map and field.type == "timestamptz" and all(DATE.match(sample) for sample in samples):
        return CONTENT, say("the values are dates")
    if field.must_map and field.type in {"integer", "numeric"} and all(_is_number(sample) for sample in samples):
        return CONTENT, say("the values are numbers")
    return None


def _is_number(sample: str) -> bool:
    return re.fullmatch(r"[+-]?\d+([.,]\d+)?", sample) is not None


def _key_score(column: SourceColumn) -> tuple[float, str] | None:
    """The column that recognises a row again: its key, else one that is called so."""
    parts = words(column.name)
    own = _without_table(parts, column.table)
    if column.name == "external_id":
        return EXACT, "same name"
    if column.key:
        return (
            (EXACT, say("the key of the table"))
            if own in {("id",), ("uuid",), ("guid",)}
            else (SPELLING, say("a key of the table"))
        )
    if own in {("id",), ("external", "id"), ("uuid",), ("guid",)}:
        return SYNONYM, say("“{own}” recognises a row", own=" ".join(own))
    return None


def _is_reference(column: SourceColumn) -> bool:
    parts = words(column.name)
    return (len(parts) > 1 and (parts[-1] in {"id", "ids", "uuid", "guid", "fk"} or parts[-1] in {"by", "to"})) or (
        parts[:1] == ("id",) and len(parts) > 1 and kind_of(column.type) in {"number", "uuid"}
    )


@cache
def words(name: str) -> Words:
    """The words of a name in any spelling, lower case, without accents."""
    folded = unicodedata.normalize("NFKD", name.rsplit(".", maxsplit=1)[-1].replace("ß", "ss"))
    return naming.words("".join(character for character in folded if not unicodedata.combining(character)))


def _forms(column: SourceColumn) -> list[Words]:
    """The name's words, and the same without the table's name before it."""
    parts = words(column.name)
    return list(dict.fromkeys((parts, _without_table(parts, column.table))))


def _without_table(parts: Words, table: str) -> Words:
    own = words(table)[-1:] if table else ()
    return parts[1:] if own and len(parts) > 1 and naming.same(parts[:1], own) else parts


def _same(left: Words, right: Words) -> bool:
    return bool(left) and ("".join(left) == "".join(right) or naming.same(left, right))


def _synonyms(target: Target, field: Field) -> list[Words]:
    known = SYNONYMS.get(target.name, COMMON)
    return [*map(words, _split(known.get(field.name, "")))]


def _split(text: str) -> Iterator[str]:
    return (part for part in text.split("|") if part)
