"""People of the source matched with people here by address, before anything is imported (U25)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from servicevault import catalog


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
    confidence: float = 0.0
    reason: str = ""


def match_people(connection: psycopg.Connection, target_type: str, people: Iterable[Person]) -> list[PersonMatch]:
    """One answer for each person, in their order: by address (100), else by a name only one person has (60).

    An address counts only within the target type: an agent is never matched with a customer (E4).
    """
    target = catalog.get(target_type)
    listed = list(people)
    query = sql.SQL(
        "SELECT g.n, m.id, m.name, m.by FROM unnest(%(emails)s::text[], %(names)s::text[]) WITH ORDINALITY "
        "AS g(email, name, n) LEFT JOIN LATERAL ("
        "SELECT t.id, t.name, 'address' AS by, 1 AS rank FROM {table} t WHERE {scope} AND lower(t.email) = g.email "
        "UNION ALL SELECT min(t.id::text)::uuid, min(t.name), 'name', 2 FROM {table} t "
        "WHERE {scope} AND g.name <> '' AND lower(btrim(t.name)) = g.name HAVING count(*) = 1 "
        "ORDER BY rank LIMIT 1) m ON true ORDER BY g.n"
    ).format(table=sql.Identifier(target.table), scope=sql.SQL(target.scope or "true"))
    rows = connection.execute(
        query,
        {
            "emails": [person.email.strip().lower() or None for person in listed],
            "names": [" ".join(person.name.split()).lower() for person in listed],
        },
    ).fetchall()
    found = []
    for person, (_, target_id, name, by) in zip(listed, rows, strict=True):
        if target_id is None:
            found.append(PersonMatch(person))
        else:
            confidence, reason = (100.0, "same address") if by == "address" else (60.0, "the only one with this name")
            found.append(PersonMatch(person, target_id, name, confidence, reason))
    return found
