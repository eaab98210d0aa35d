"""Reading a pack: what the guide shows is valid, and whatever is not as it should be is named with its path."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from importer.query.rendering import render
from importer.query.spec import Condition
from templates_registry.definition import MAX_LEVELS, PackProblems, parse_definition
from templates_registry.loader import PACKS, read_pack

Pack = dict[str, Any]


def changed(pack: Pack, change: Callable[[Pack], object]) -> Pack:
    found = copy.deepcopy(pack)
    change(found)
    return found


def users(pack: Pack) -> Pack:
    return pack["configuration"]["queries"]["users"]


@pytest.mark.req("T6", "T8")
def test_it_accepts_the_guides_example_as_it_stands(pack: Pack) -> None:
    definition = parse_definition(pack)
    (query,) = definition.queries
    assert (definition.version, query.key, query.name) == ("1.0.0", "users", "Platform Users")
    assert [field.target for field in query.forms[0].spec.fields] == ["id", "name", "email"]
    assert query.forms[0].plain == {0, 1, 2}
    (condition,) = definition.suggested_filters["users"]["active_only"].items
    assert isinstance(condition, Condition)
    assert render(condition.field) == "status = 'active'"


@pytest.mark.req("T4", "T5", "T26")
def test_it_reads_the_packs_that_are_shipped() -> None:
    found = {path.name: read_pack(path).definition for path in PACKS.iterdir()}
    assert found["custom"].queries == ()
    assert found["custom"].name == "Custom Database"
    assert found["freescout"].name == "FreeScout Platform"
    assert [query.key for query in found["freescout"].queries] == [
        "accounts", "agents", "customers", "tickets", "comments", "time_entries",
    ]  # fmt: skip
    ticket_forms = next(query.forms for query in found["freescout"].queries if query.key == "tickets")
    assert [form.variant for form in ticket_forms] == ["guide", "core"]
    assert dict(ticket_forms[1].spec.value_maps["status"]) == {"1": "open", "2": "pending", "3": "closed"}


def nest(levels: int) -> Any:
    found: Any = "status = 1"
    for _ in range(levels):
        found = {"op": "and", "items": [found]}
    return found


@pytest.mark.req("T6", "N-151")
@pytest.mark.parametrize(
    ("change", "path", "part"),
    [
        (lambda p: p.pop("name"), "name", "missing"),
        (lambda p: p.update(platform="No Slug!"), "platform", "small letters"),
        (lambda p: p.update(database_type="mysql"), "database_type", "postgresql"),
        (lambda p: p.update(version="one"), "version", "three numbers"),
        (lambda p: p.update(source_timezone="Mars/Base"), "source_timezone", "not a time zone"),
        (lambda p: p.update(account_strategy="guess"), "account_strategy", "not one of"),
        (lambda p: p.update(querys={}), "querys", "Unknown member"),
        (lambda p: p.update(name=7), "name", "text is expected"),
        (lambda p: p.update(name="a\0b"), "name", "no database text"),
        (lambda p: p.update(configuration=[]), "configuration", "object is expected"),
        (lambda p: p["configuration"].update(views="x"), "configuration.views[0]", "object is expected"),
        (lambda p: p["configuration"].update(queries={"A b": {}}), "configuration.queries.A b", "small letters"),
        (
            lambda p: users(p).update(target_type="nobody"),
            "configuration.queries.users.target_type",
            "not a target type",
        ),
        (lambda p: users(p).update(fields=["id; DROP TABLE x"]), "configuration.queries.users.fields[0]", ""),
        (lambda p: users(p).update(filters="pg_sleep(9) > 0"), "configuration.queries.users.filters[0].field", ""),
        (lambda p: users(p).update(requires=["a.b.c"]), "configuration.queries.users.requires[0]", "not a requirement"),
        (
            lambda p: users(p).update(requires=["a.b:sound"]),
            "configuration.queries.users.requires[0]",
            "not a requirement",
        ),
        (lambda p: users(p).update(optional="yes"), "configuration.queries.users.optional", "true or false"),
        (
            lambda p: users(p).update(variants=[{"name": "a"}, {"name": "a"}]),
            "configuration.queries.users.variants[1].name",
            "twice",
        ),
        (
            lambda p: p["configuration"].update(views=[{"name": "v", "sql": "SELECT 1; DROP TABLE x"}]),
            "configuration.views[0].sql",
            "exactly one SELECT",
        ),
        (
            lambda p: p["configuration"].update(views=[{"name": "v", "sql": "DELETE FROM x RETURNING 1"}]),
            "configuration.views[0].sql",
            "exactly one SELECT",
        ),
        (
            lambda p: p["configuration"].update(views=[{"name": "v", "sql": "SELECT 1 INTO x"}]),
            "configuration.views[0].sql",
            "exactly one SELECT",
        ),
        (lambda p: p.update(probes=[{"name": "p", "sql": "COPY x TO PROGRAM 'id'"}]), "probes[0].sql", ""),
        (lambda p: p.update(fingerprint=[{"table": "a", "column": "a.b"}]), "fingerprint[0]", "a table, a column"),
        (lambda p: p.update(fingerprint=[{"table": "a", "weight": -1}]), "fingerprint[0].weight", "from 0"),
        (
            lambda p: p["configuration"]["suggested_filters"]["users"].update(x="DROP TABLE y"),
            "configuration.suggested_filters.users.x[0].field",
            "",
        ),
    ],
)
def test_it_names_what_is_wrong_and_where(pack: Pack, change: Callable[[Pack], object], path: str, part: str) -> None:
    with pytest.raises(PackProblems) as caught:
        parse_definition(changed(pack, change))
    assert path in [problem.path for problem in caught.value.problems]
    assert part in " ".join(problem.message for problem in caught.value.problems)


@pytest.mark.req("T6")
def test_it_refuses_what_is_too_large_too_deep_or_too_much(pack: Pack) -> None:
    too_large = changed(pack, lambda p: p.update(description="x" * 300_000))
    too_deep = changed(pack, lambda p: users(p).update(filters=nest(MAX_LEVELS)))
    too_many = changed(pack, lambda p: p["configuration"].update(queries={f"q{n}": users(p) for n in range(21)}))
    for data, part in [(too_large, "256 KiB"), (too_deep, "20 levels"), (too_many, "At most 20 queries")]:
        with pytest.raises(PackProblems, match=part):
            parse_definition(data)


@pytest.mark.parametrize("data", [None, [], "text", 7, {"name": {}}, {"configuration": {"queries": [1]}}])
def test_it_survives_anything(data: object) -> None:
    with pytest.raises(PackProblems):
        parse_definition(data)
