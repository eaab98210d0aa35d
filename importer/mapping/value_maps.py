"""Value maps: which values the source holds, and what each most likely means here (E33c, U25)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from importer.errors import QueryError
from importer.mapping.auto import words
from importer.pipeline.prepare import canonical
from importer.query.compiler import compile_query
from importer.query.nodes import Column, Number
from importer.query.preview import Session
from importer.query.spec import Field, QuerySpec
from importer.sources.schema import SourceSchema
from servicevault.catalog import Field as TargetField
from servicevault.wording import say

MOST_VALUES = 500  # E33c
READ_ROWS = 100_000  # of the source; a table may have a billion
SECONDS = 5.0

# What help desks call the values of ours (E33a), besides the names themselves.
MEANINGS: Mapping[str, str] = {
    "open": "new|active|neu|offen|nouveau|ouvert|nuevo|abierto|reopened|created|unassigned",
    "pending": "waiting|on hold|hold|snoozed|waiting customer|pending reminder|pending close|wartend|zuruckgestellt|en attente|pendiente|awaiting reply",
    "in_progress": "in progress|progress|started|assigned|working|in arbeit|in bearbeitung|en cours|en progreso|processing",
    "resolved": "solved|fixed|done|gelost|erledigt|resolu|resuelto|answered|feedback",
    "closed": "done|merged|archived|geschlossen|abgeschlossen|ferme|cerrado|cancelled|canceled|rejected|closed successful|closed unsuccessful|removed",
    "low": "lowest|minor|trivial|niedrig|gering|basse|faible|baja",
    "normal": "medium|standard|default|mittel|moyenne|normale|media|major",
    "high": "important|hoch|haute|elevee|alta",
    "urgent": "critical|emergency|immediate|blocker|highest|dringend|sofort|kritisch|urgente|critique|critica",
    "agent": "user|staff|employee|technician|mitarbeiter",
    "customer": "client|contact|requester|kunde|cliente",
    "system": "bot|automation|trigger",
    "email": "mail|e mail|imap|smtp",
    "phone": "call|telefon|telephone|telefono|phone inbound",
    "chat": "messenger|live chat|whatsapp|telegram",
    "web": "portal|form|website|widget|web form",
    "html": "text html",
    "text": "plain|text plain",
    "approved": "accepted|confirmed|genehmigt",
    "rejected": "declined|refused|abgelehnt",
}  # fmt: skip
PREFERRED = {"done": "closed"}  # E33a, where two lists have the word


@dataclass(frozen=True)
class Observed:
    """A value of the source with how often it was seen."""

    value: str | None  # as a value map compares it; None for empty
    count: int
    sample: str = ""  # external id of a row that has it


@dataclass(frozen=True)
class ObservedValues:
    values: tuple[Observed, ...]  # most frequent first
    cut: bool = False  # there are more different values than were read
    rows: int = 0  # that were looked at
    complete: bool = True  # every row of the query was looked at


@dataclass(frozen=True)
class Suggestion:
    """What a source value most likely means here; confidence from 0 to 1."""

    value: str
    target: str
    confidence: float
    reason: str


def observe(session: Session, spec: QuerySpec, schema: SourceSchema, target_field: str) -> ObservedValues:
    """The different values that feed a mapped field, of the query's first 100,000 rows, at most 500 of them.

    Raises QueryError when no field of the query feeds it, and SourceTimeout when the source is slower than 5 seconds.
    """
    found = frequencies(session, spec, schema, target_field, most=MOST_VALUES + 1)
    merged: dict[str | None, Observed] = {}
    for value, count, sample, _ in found[:MOST_VALUES]:
        text = None if value is None or not str(value).strip() else canonical(str(value))
        seen = merged.get(text)
        merged[text] = Observed(text, int(count) + (seen.count if seen else 0), seen.sample if seen else str(sample))
    rows = int(found[0][3]) if found else 0
    ordered = sorted(merged.values(), key=lambda item: (-item.count, item.value or ""))
    return ObservedValues(tuple(ordered), len(found) > MOST_VALUES, rows, complete=rows < READ_ROWS)


def frequencies(
    session: Session, spec: QuerySpec, schema: SourceSchema, target_field: str, *, most: int
) -> Sequence[Sequence[Any]]:
    """Rows (value, count, a key that has it, rows looked at) of what feeds a field; raises as `observe`."""
    mapped = _fed_by(spec, target_field)
    if mapped is None:
        raise QueryError(
            say("No field of the query feeds “{target_field}”.", target_field=target_field),
            hint=say("Map it first."),
            where="fields",
        )
    identified = _fed_by(spec, spec.source_identifier)
    key = _named(identified, "key") if identified else Field("key", Number("1"))
    narrowed = QuerySpec(
        key=spec.key, base=spec.base, joins=spec.joins, filters=spec.filters, group_by=spec.group_by, having=spec.having,
        distinct_on=spec.distinct_on, fields=(_named(mapped, "value"), key), target_type=spec.target_type,
        source_identifier="key", kind=spec.kind, sql=spec.sql, params=spec.params,
    )  # fmt: skip
    query, params = compile_query(narrowed, schema).distinct("value", "key", rows=READ_ROWS, most=most)
    return session.fetch_all(query, params, timeout_seconds=SECONDS)


def _fed_by(spec: QuerySpec, target_field: str) -> Field | None:
    """The field of the query; a query written as SQL names its columns after their targets."""
    found = spec.field_for(target_field)
    return Field(target_field, Column(target_field)) if found is None and spec.kind == "sql" else found


def _named(field: Field, target: str) -> Field:
    """The same source under another name, without what is applied after reading."""
    return Field(target, field.source, field.sources, field.separator)


def suggest(values: Iterable[str], field: TargetField, *, labels: Mapping[str, str] | None = None) -> list[Suggestion]:
    """What each value may mean for a field with fixed values; values with no guess are left out.

    `labels` are the source's own words for its codes, as a lookup table beside the column gives them.
    """
    found = []
    for value in values:
        said = (labels or {}).get(value, value)
        if guess := _meaning(said, field.choices):
            target, confidence, reason = guess
            found.append(Suggestion(value, target, confidence, reason))
    return found


def _meaning(text: str, choices: Sequence[str]) -> tuple[str, float, str] | None:
    plain = " ".join(words(text)) or text.strip().lower()
    for choice in choices:
        if plain == choice.replace("_", " "):
            return choice, 1.0, "same word"
    preferred = PREFERRED.get(plain)
    meant = [choice for choice in choices if plain in MEANINGS.get(choice, "").split("|")]
    if meant:
        choice = preferred if preferred in meant else meant[0]
        return choice, 0.85, say("“{plain}” usually means {choice}", plain=plain, choice=choice)
    parts = plain.split()
    for choice in choices:
        known = [choice.replace("_", " "), *MEANINGS.get(choice, "").split("|")]
        if len(parts) > 1 and any(word and word in parts for word in known):
            return choice, 0.70, say("a word for {choice} is in it", choice=choice)
    close = difflib.get_close_matches(plain, choices, n=1, cutoff=0.8)
    return (close[0], 0.60, f"spelled like {close[0]}") if close and not plain.isdigit() else None


def unmapped(observed: ObservedValues, entries: Mapping[str, Any], field: TargetField) -> list[Observed]:
    """The values neither a map's entry nor the field itself knows: rows with them are held (E33)."""
    known = {canonical(str(source)) for source, wanted in entries.items() if not isinstance(wanted, Mapping)}
    known |= {choice.lower() for choice in field.choices}
    return [item for item in observed.values if item.value is not None and item.value not in known]
