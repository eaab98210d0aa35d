"""A pack on trial (N-152): its fixtures become scratch databases, its queries run there, the rows are compared.

Nothing of the application's own data is touched. A fixture is SQL of whoever wrote the pack, so it runs as a role
that owns nothing but the scratch database.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql

from importer import gateway
from importer.errors import PackError, QueryError
from importer.query.compiler import compile_query
from importer.query.spec import QuerySpec
from importer.sources.introspection import introspect
from importer.sources.params import ConnectionParams
from importer.sources.schema import SourceSchema
from importer.sources.session import SourceSession, open_session
from servicevault.wording import say, say_count
from templates_registry.apply import mapped_by_name
from templates_registry.detection import FitReport, fit
from templates_registry.files import PackFiles
from templates_registry.pack import Definition

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class QueryTrial:
    """What one query gave on a fixture."""

    key: str
    variant: str
    rows: Rows
    reason: str = ""  # why it did not run


@dataclass(frozen=True)
class FixtureTrial:
    """What a pack gave on one of its fixtures; `differences` is empty when that was expected."""

    fixture: str
    queries: tuple[QueryTrial, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.differences


def try_pack(files: PackFiles, definition: Definition) -> list[FixtureTrial]:
    """Run every query on every fixture. Raises PackError for a fixture the server refuses or one without `expected`."""
    found = []
    for name, text in files.fixtures():
        expected = expected_of(files, name)
        with scratch_database(text, name) as params, scratch_session(params) as session:
            trial = run(definition, introspect(session), session, name, expected.get("parameters") or {})
        found.append(replace(trial, differences=tuple(_differences(trial, expected.get("queries") or {}))))
    return found


def run(
    definition: Definition, schema: SourceSchema, session: SourceSession, fixture: str, parameters: Mapping[str, Any]
) -> FixtureTrial:
    """The rows of every query that fits."""
    report = fit(definition, schema, session, parameters=parameters)
    return FixtureTrial(fixture, tuple(_queries(report, schema.with_views(report.views), session)), dict(parameters))


def as_expected(trial: FixtureTrial) -> str:
    """The text of `expected/<fixture>.json` that this trial would pass."""
    queries: dict[str, dict[str, Any]] = {
        query.key: {"off": query.reason} if query.reason else {"variant": query.variant, "rows": query.rows}
        for query in trial.queries
    }
    return json.dumps({"parameters": dict(trial.parameters), "queries": queries}, indent=1, ensure_ascii=False) + "\n"


def expected_of(files: PackFiles, fixture: str) -> dict[str, Any]:
    """What is expected of a fixture; {} when nothing is written down."""
    text = files.texts.get(f"expected/{fixture}.json", "{}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise PackError(
            say("expected/{fixture}.json is not JSON.", fixture=fixture), where=f"expected/{fixture}.json"
        ) from None
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def scratch_database(fixture: str, name: str = "fixture") -> Iterator[ConnectionParams]:
    """A database filled with the fixture's SQL, owned by a role of its own; both are gone afterwards.

    Raises PackError when the fixture fails, or when the application's role may not create databases.
    """
    label = f"pack_trial_{secrets.token_hex(6)}"
    password = secrets.token_urlsafe(24)
    named = sql.Identifier(label)
    try:
        with _server() as server:
            server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(named, password))
            server.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(named))
            server.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(named, named))
    except psycopg.errors.InsufficientPrivilege:
        raise PackError(
            say("A trial needs a database of its own, and the application's role may not create one."),
            hint=say("Give it CREATEDB and CREATEROLE, or run the command on a machine with the embedded server."),
        ) from None
    try:
        params = ConnectionParams(
            host=settings.DATABASES["default"]["HOST"] or "127.0.0.1",
            port=int(settings.DATABASES["default"]["PORT"] or 5432),
            database=label,
            username=label,
            password=password,
        )
        _load(params, fixture, name)
        yield params
    finally:
        with _server() as server:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(named))
            server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(named))


def scratch_session(params: ConnectionParams) -> SourceSession:
    return open_session(
        params,
        policy=replace(gateway.host_policy(), allow_loopback=True),
        limits=gateway.limits(),
        application_name="service-vault/pack-test",
        search_schemas=("public",),
    )


def _server() -> psycopg.Connection:
    database = settings.DATABASES["default"]
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname="postgres",
        user=database["USER"],
        password=database["PASSWORD"],
        autocommit=True,
    )


def _load(params: ConnectionParams, fixture: str, name: str) -> None:
    try:
        with psycopg.connect(
            host=params.host,
            port=params.port,
            dbname=params.database,
            user=params.username,
            password=params.password,
            options="-c statement_timeout=60s",
        ) as connection:
            connection.execute(fixture.encode())
            connection.commit()
            connection.autocommit = True
            connection.execute("ANALYZE")
    except psycopg.Error as error:
        reason = (error.diag.message_primary or str(error)).splitlines()[0]
        raise PackError(f"fixtures/{name}.sql: {reason}.", where=f"fixtures/{name}.sql") from None


def _queries(report: FitReport, schema: SourceSchema, session: SourceSession) -> Iterator[QueryTrial]:
    for query in report.queries:
        if query.status == "missing":
            yield QueryTrial(query.key, query.variant, [], query.reason)
            continue
        spec, _ = mapped_by_name(query.spec, query.plain)
        try:
            yield QueryTrial(query.key, query.variant, rows_of(spec, schema, session))
        except QueryError as error:
            raise PackError(
                say("The query {key}: {error}", key=query.key, error=error.message), hint=error.hint, where=query.key
            ) from error


def rows_of(spec: QuerySpec, schema: SourceSchema, session: SourceSession) -> Rows:
    """All rows of a query as JSON values, by external id."""
    compiled = compile_query(spec, schema)
    wrapped = sql.SQL("SELECT pg_catalog.to_json(q)::pg_catalog.text FROM ({}) AS q").format(compiled.sql)
    rows = [json.loads(row[0]) for row in session.fetch_all(wrapped, compiled.params)]
    return sorted(rows, key=lambda row: _place(row.get(spec.source_identifier)))


def _place(value: Any) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (0.0, str(value))


def _differences(trial: FixtureTrial, expected: Mapping[str, Any]) -> Iterator[str]:
    for query in trial.queries:
        wanted = expected.get(query.key)
        if wanted is None:
            yield say(
                "{key}: nothing is expected of it in expected/{fixture}.json.", key=query.key, fixture=trial.fixture
            )
        elif query.reason or "off" in wanted:
            if wanted.get("off") != query.reason:
                yield say(
                    "{key}: {reason}; expected: {off}.",
                    key=query.key,
                    reason=query.reason or say("it ran"),
                    off=wanted.get("off", "rows"),
                )
        elif wanted.get("variant", "") != query.variant:
            yield say(
                "{key}: the variant {variant}; expected: {expected}.",
                key=query.key,
                variant=query.variant or say("without name"),
                expected=wanted.get("variant"),
            )
        else:
            yield from _row_differences(query, wanted.get("rows") or [])


def _row_differences(query: QueryTrial, wanted: Rows) -> Iterator[str]:
    if len(query.rows) != len(wanted):
        yield say_count(
            "{key}: {count} row; {wanted} are expected.",
            "{key}: {count} rows; {wanted} are expected.",
            len(query.rows),
            key=query.key,
            wanted=len(wanted),
        )
    for got, want in zip(query.rows, wanted, strict=False):
        identifier = got.get("external_id")
        for name in dict.fromkeys([*want, *got]):
            if got.get(name) != want.get(name) or (name in got) != (name in want):
                yield say(
                    "{key} {identifier} {name}: {found!r}; expected: {expected!r}.",
                    key=query.key,
                    identifier=identifier,
                    name=name,
                    found=got.get(name),
                    expected=want.get(name),
                )
