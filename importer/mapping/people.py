"""People of the source matched with people here by address, before anything is imported (U25)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from importer.mapping.sampling import first_rows, prepared_values
from importer.pipeline.rehearsal import Plan
from importer.pipeline.rehearsal_loading import TrialLoader
from importer.sources.session import SourceSession
from servicevault import catalog
from servicevault.wording import say


@dataclass(frozen=True)
class Person:
    """A person of the source: external id, name and address as they would be imported."""

    external_id: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True)
class PersonMatch:
    """Whom the address or the name finds here; confidence from 0 to 100, 0 when nobody."""

    person: Person
    target_id: Any = None
    target_name: str = ""
    target_email: str = ""
    confidence: float = 0.0
    reason: str = ""


def match_people(connection: psycopg.Connection, target_type: str, people: Iterable[Person]) -> list[PersonMatch]:
    """One answer for each person, in their order: by address (100), else by a name only one person has (60).

    An address counts only within the target type: an agent is never matched with a customer (E4).
    """
    target = catalog.get(target_type)
    listed = list(people)
    query = sql.SQL(
        "WITH here AS MATERIALIZED (SELECT t.id, t.name, lower(btrim(t.name)) AS called, lower(t.email) AS email "
        "FROM {table} t WHERE {scope}), "
        "single AS (SELECT called, min(id::text)::uuid AS id, min(name) AS name, min(email) AS email FROM here GROUP BY called HAVING count(*) = 1) "
        "SELECT g.n, coalesce(a.id, b.id), coalesce(a.name, b.name), coalesce(a.email, b.email, ''), CASE WHEN a.id IS NULL THEN 'name' ELSE 'address' END "
        "FROM unnest(%(emails)s::text[], %(names)s::text[]) WITH ORDINALITY AS g(email, name, n) "
        "LEFT JOIN here a ON a.email = g.email LEFT JOIN single b ON b.called = g.name AND g.name <> '' ORDER BY g.n"
    ).format(table=sql.Identifier(target.table), scope=sql.SQL(target.scope or "true"))
    rows = connection.execute(
        query,
        {
            "emails": [person.email.strip().lower() or None for person in listed],
            "names": [" ".join(person.name.split()).lower() for person in listed],
        },
    ).fetchall()
    found = []
    for person, (_, target_id, name, email, by) in zip(listed, rows, strict=True):
        if target_id is None:
            found.append(PersonMatch(person))
        else:
            confidence, reason = (
                (100.0, say("same address")) if by == "address" else (60.0, say("the only one with this name"))
            )
            found.append(PersonMatch(person, target_id, name, email, confidence, reason))
    return found


@dataclass(frozen=True)
class Fate:
    """What a run would make of a person of the source now, and whom address or name find here."""

    match: PersonMatch
    action: str  # created, existing, skipped, failed, review, or defer: somebody before them has the same address
    code: str = ""
    target_id: Any = None  # whom they become, or who stands in
    confidence: float | None = None
    by: str = ""  # how the target was found: choice, source_identity, a strategy
    message: str = ""  # of the first problem

    @property
    def person(self) -> Person:
        return self.match.person


def fates(
    source: SourceSession, plan: Plan, *, connect: Callable[[], psycopg.Connection], most: int
) -> tuple[list[Fate], bool]:
    """The query's people, decided by the statements of a run that writes nothing, and whether there are more.

    `connect` opens a connection to the target as the pipeline uses it.
    """
    rows = first_rows(source, plan, most + 1)
    is_cut, rows = len(rows) > most, rows[:most]
    with connect() as inside:
        try:
            loader = TrialLoader(inside, plan.load, run_id=0, job_id=str(uuid.uuid4()))
            loader.judge(rows)
            decided = inside.execute(
                "SELECT w.key, w.action, w.code, w.target_id, w.confidence, w.matching ->> 'by', "
                "w.problems -> 0 ->> 'message' FROM pg_temp.work w ORDER BY w.n"
            ).fetchall()
            values = prepared_values(inside, plan.load, rows)
            people = [
                Person(key, str(value.get("name") or ""), str(value.get("email") or ""))
                for (key, *_), value in zip(decided, values, strict=True)
            ]
            matches = match_people(inside, plan.load.target.name, people)
        finally:
            inside.rollback()
    return [
        Fate(
            match,
            action,
            code or "",
            target,
            float(confidence) if confidence is not None else None,
            by or "",
            said or "",
        )
        for match, (_, action, code, target, confidence, by, said) in zip(matches, decided, strict=True)
    ], is_cut
