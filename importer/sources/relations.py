"""Joins that nobody declared: guessed from names and types, confirmed by values, shown with their evidence.

Of four help desks looked at, three declare no foreign key at all. A guess is offered, never applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from importer.sources.candidates import Candidate, Candidates
from importer.sources.evidence import Evidence, Sample
from importer.sources.polymorphic import polymorphic_relations
from importer.sources.schema import Relation, SourceSchema, Table
from importer.sources.session import SourceSession
from servicevault.wording import say, say_count

Multiplicity = Literal["1:1", "n:1", "unknown"]

SHOWN_FROM = 50.0
LEAST_CONTAINMENT = 0.3  # a name the values contradict is no relation, whatever its score
LEAST_CONTAINMENT_BARE = 0.9  # a bare name needs the data on its side


@dataclass(frozen=True)
class _Weighed:
    """A candidate with what the data said; `sample` is None when it was not asked."""

    candidate: Candidate
    sample: Sample | None
    unique: bool

    @property
    def score(self) -> float:
        containment = self.sample.containment if self.sample else 0.0
        return 100 * (
            0.4 * self.candidate.name_score + 0.4 * containment + 0.1 * self.unique + 0.1 * self.candidate.indexed
        )

    @property
    def is_shown(self) -> bool:
        if not self.unique or self.score < SHOWN_FROM:
            return False
        if self.sample is None or self.sample.values == 0:
            return self.candidate.explicit
        least = LEAST_CONTAINMENT if self.candidate.explicit else LEAST_CONTAINMENT_BARE
        return self.sample.containment >= least


def infer_relations(
    session: SourceSession,
    schema: SourceSchema,
    *,
    tables: Collection[str] | None = None,
    budget_seconds: float = 5.0,
    max_probes: int = 200,
) -> list[Relation]:
    """Return declared and likely relations of a source, the surest first.

    `tables` limits them to those that begin or end at these tables ("name" or "schema.name").
    When time or probes run out, the rest is judged by name alone and says so.
    """
    evidence = Evidence(session, budget_seconds=budget_seconds, max_probes=max_probes)
    declared = list(declared_relations(schema))
    taken = {(relation.schema, relation.table, relation.columns) for relation in declared}
    polymorphic = [
        relation
        for relation in polymorphic_relations(schema, evidence, _chosen(schema.tables, tables))
        if (relation.schema, relation.table, relation.columns) not in taken
    ]
    flagged = {(relation.schema, relation.table, relation.columns) for relation in polymorphic}
    candidates = [
        candidate
        for candidate in Candidates(schema).all()
        if candidate.place not in taken
        and candidate.place not in flagged
        and (tables is None or _is_chosen(candidate.child, tables) or _is_chosen(candidate.parent, tables))
    ]
    weighed = [_weigh(candidate, evidence) for candidate in sorted(candidates, key=lambda c: -c.name_score)]
    inferred = [_relation(found) for found in _best(found for found in weighed if found.is_shown)]
    wanted = [
        relation
        for relation in declared
        if tables is None
        or _touches(relation.schema, relation.table, tables)
        or _touches(relation.ref_schema, relation.ref_table, tables)
    ]
    return sorted(
        wanted + inferred + polymorphic, key=lambda r: (-r.confidence, r.schema, r.table, r.columns, r.ref_table)
    )


def declared_relations(schema: SourceSchema) -> Iterator[Relation]:
    """The foreign keys of a source as relations."""
    for table in schema.tables:
        for key in table.foreign_keys:
            yield Relation(
                schema=table.schema,
                table=table.name,
                columns=key.columns,
                ref_schema=key.ref_schema,
                ref_table=key.ref_table,
                ref_columns=key.ref_columns,
                source="foreign_key",
                confidence=100.0,
                evidence=(say("Declared as foreign key {key}.", key=key.name),),
                multiplicity="1:1" if _is_key(table, key.columns) else "n:1",
            )


def _weigh(candidate: Candidate, evidence: Evidence) -> _Weighed:
    sample = evidence.containment(
        candidate.child, candidate.columns, candidate.parent, candidate.keys, as_text=candidate.as_text
    )
    unique = candidate.declared_key or evidence.is_unique(candidate.parent, candidate.keys[0])
    return _Weighed(candidate, sample, unique)


def _best(shown: Iterable[_Weighed]) -> Iterator[_Weighed]:
    """For each child column the likeliest parent; several only when nothing tells them apart."""
    ordered = sorted(shown, key=lambda found: (found.candidate.place, -found.score))
    for _, group in groupby(ordered, key=lambda found: found.candidate.place):
        rivals = list(group)
        yield from (found for found in rivals if found.score > rivals[0].score - 0.5)


def _relation(found: _Weighed) -> Relation:
    candidate = found.candidate
    return Relation(
        schema=candidate.child.schema,
        table=candidate.child.name,
        columns=candidate.columns,
        ref_schema=candidate.parent.schema,
        ref_table=candidate.parent.name,
        ref_columns=candidate.keys,
        source="inferred",
        confidence=round(found.score, 1),
        evidence=tuple(_sentences(found)),
        multiplicity=_multiplicity(candidate),
    )


def _sentences(found: _Weighed) -> Iterator[str]:
    candidate = found.candidate
    target = f"{candidate.parent.name}.{', '.join(candidate.keys)}"
    if found.sample is None:
        yield say("The values were not compared: the time for it was used up, or they cannot be.")
    elif found.sample.values == 0:
        yield say("There are no values to compare yet.")
    else:
        yield say_count(
            "{found:,} of {count} sampled value exists in {target}",
            "{found:,} of {count:,} sampled values exist in {target}",
            found.sample.values,
            found=found.sample.found,
            target=target,
        )
    yield say("By name: {reason}.", reason=candidate.reason)
    if candidate.declared_key:
        yield say("{target} is a declared key.", target=target)
    else:
        yield say("{target} is unique in the rows that were sampled.", target=target)
    columns = ", ".join(candidate.columns)
    yield (
        say("{columns} is indexed.", columns=columns)
        if candidate.indexed
        else say("{columns} is not indexed.", columns=columns)
    )


def _multiplicity(candidate: Candidate) -> Multiplicity:
    if candidate.child.kind in ("view", "foreign"):
        return "unknown"
    return "1:1" if _is_key(candidate.child, candidate.columns) else "n:1"


def _is_key(table: Table, columns: tuple[str, ...]) -> bool:
    return any(set(key) <= set(columns) for key in (table.primary_key, *table.unique_keys) if key)


def _chosen(every: Iterable[Table], tables: Collection[str] | None) -> list[Table]:
    return [table for table in every if tables is None or _is_chosen(table, tables)]


def _is_chosen(table: Table, tables: Collection[str]) -> bool:
    return _touches(table.schema, table.name, tables)


def _touches(schema: str, name: str, tables: Collection[str]) -> bool:
    return name in tables or f"{schema}.{name}" in tables
