"""`manage.py inspect_source`: what a database is, before anything is imported from it."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from importer import gateway
from importer.errors import ImporterError
from importer.models import ImportProfile
from importer.sources.connection import ConnectionParams, ConnectionTest, open_session, test_connection
from importer.sources.introspection import introspect
from importer.sources.relations import infer_relations
from importer.sources.schema import Relation, SourceSchema
from servicevault.wording import say
from templates_registry.definition import parse_definition
from templates_registry.detection import Candidate, FitReport, detect, fit
from templates_registry.models import Template
from templates_registry.pack import Definition

MOST_SHOWN = 60  # lines of a table on a terminal; --json has them all


class Command(BaseCommand):
    help = say("Test a connection stage by stage, then show tables, relations, the platform and how its template fits.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="", help=say("postgresql://user:pw@host:port/db; else SOURCE_URL"))
        parser.add_argument("--name", default="", help=say("a profile's name, instead of an address"))
        parser.add_argument("--json", action="store_true", help=say("print one JSON object on standard output"))

    def handle(self, **options: Any) -> None:
        console = Console(highlight=False)
        try:
            params = _params(options["url"], options["name"])
            test = test_connection(params, policy=gateway.host_policy(), limits=gateway.limits())
            found = _look(params) if test.success else None
        except ImporterError as error:
            if options["json"]:
                failure = {"code": error.code, "message": error.message, "hint": error.hint}
                self.stdout.write(json.dumps({"success": False, "error": failure}))
                sys.exit(1)
            raise CommandError(str(error), returncode=1) from error
        if options["json"]:
            self.stdout.write(json.dumps(_report(test, found), default=str))
        else:
            _print(console, test, found)
        if found is None:
            sys.exit(1)


class _Found:
    """What a look at the source showed."""

    def __init__(
        self, schema: SourceSchema, relations: list[Relation], candidates: list[Candidate], report: FitReport | None
    ) -> None:
        self.schema = schema
        self.relations = relations
        self.candidates = candidates
        self.report = report


def _params(url: str, name: str) -> ConnectionParams:
    """Where to look. Raises ImporterError when neither an address nor a profile is given, or there is no such profile."""
    if name:
        profile = ImportProfile.objects.filter(name__iexact=name, deleted_at=None).first()
        if profile is None:
            raise ImporterError(
                say("There is no profile “{name}”.", name=name), hint=say("Give --url instead."), code="not_found"
            )
        return gateway.params_of(profile)
    url = url or os.environ.get("SOURCE_URL", "")
    if not url:
        raise ImporterError(
            say("Say what to inspect."), hint=say("Give --url, --name, or SOURCE_URL."), code="validation_error"
        )
    return ConnectionParams.from_url(url)[0]


def _look(params: ConnectionParams) -> _Found:
    with open_session(
        params,
        policy=gateway.host_policy(),
        limits=gateway.limits(),
        application_name="service-vault/inspect",
        search_schemas=("public",),
    ) as session:
        schema = introspect(session)
        relations = infer_relations(session, schema)
        definitions = {definition.platform: definition for definition in _definitions()}
        candidates = detect(schema, definitions.values(), session=session)
        best = candidates[0] if candidates and candidates[0].is_likely else None
        report = fit(definitions[best.platform], schema, session) if best else None
    return _Found(schema, relations, candidates, report)


def _definitions() -> list[Definition]:
    return [parse_definition(template.definition) for template in Template.objects.filter(is_active=True)]


# -- JSON --------------------------------------------------------------------------------------------------------


def _report(test: ConnectionTest, found: _Found | None) -> dict[str, Any]:
    report: dict[str, Any] = {"success": found is not None, "test": test.as_dict()}
    if found is None:
        return report
    return report | {
        "tables": [
            {
                "schema": table.schema,
                "name": table.name,
                "kind": table.kind,
                "row_estimate": table.row_estimate,
                "size_bytes": table.size_bytes,
                "primary_key": list(table.primary_key),
                "columns": [{"name": column.name, "type": column.type} for column in table.columns],
            }
            for table in found.schema.tables
        ],
        "relations": [asdict(relation) for relation in found.relations],
        "candidates": [asdict(candidate) for candidate in found.candidates],
        "suggestion": found.report.platform if found.report else "custom",
        "fit": found.report.as_dict() if found.report else None,
    }


# -- terminal ----------------------------------------------------------------------------------------------------


def _print(console: Console, test: ConnectionTest, found: _Found | None) -> None:
    stages = Table(title=str(say("Connection")))
    for name in (say("Stage"), say("Result"), "ms", say("What was found")):
        stages.add_column(name, justify="right" if name == "ms" else "left")
    for check in test.checks:
        style = {"failed": "red", "skipped": "dim"}.get(check.status, "")
        stages.add_row(check.name, check.status, str(check.ms), f"{check.message} {check.remedy}".strip(), style=style)
    console.print(stages)
    for warning in test.warnings:
        console.print(f"{warning.message} {warning.remedy}", style="yellow", markup=False)
    if found is None:
        console.print(test.message, style="red", markup=False)
        return
    _print_tables(console, found.schema)
    _print_relations(console, found.relations)
    _print_platform(console, found)


def _print_tables(console: Console, schema: SourceSchema) -> None:
    listed = sorted(schema.tables, key=lambda table: -(table.row_estimate or 0))
    tables = Table(title=str(say("Tables of {database} ({listed})", database=schema.database, listed=len(listed))))
    tables.add_column(say("Table"))
    tables.add_column(say("Rows (about)"), justify="right")
    tables.add_column(say("Columns"), justify="right")
    tables.add_column(say("Key"))
    for table in listed[:MOST_SHOWN]:
        rows = "?" if table.row_estimate is None else f"{table.row_estimate:,}"
        tables.add_row(table.full_name, rows, str(len(table.columns)), ", ".join(table.primary_key))
    console.print(tables)


def _print_relations(console: Console, relations: list[Relation]) -> None:
    table = Table(title=str(say("Relations ({relations})", relations=len(relations))))
    table.add_column(say("From"), overflow="fold")
    table.add_column(say("To"), overflow="fold")
    table.add_column(say("Sure"), justify="right")
    table.add_column(say("Evidence"))
    for relation in relations[:MOST_SHOWN]:
        table.add_row(
            f"{relation.table}.{', '.join(relation.columns)}",
            f"{relation.ref_table}.{', '.join(relation.ref_columns)}",
            f"{relation.confidence:.0f} %",
            " ".join(relation.evidence[:2]),
        )
    console.print(table)


def _print_platform(console: Console, found: _Found) -> None:
    for candidate in found.candidates[:3]:
        hint = f", {candidate.version_hint}" if candidate.version_hint else ""
        console.print(f"{candidate.name}: {candidate.score} %{hint}", markup=False)
    if found.report is None:
        console.print(say("No template fits this database. Start with “Custom Database” and build the queries by eye."))
        return
    table = Table(
        title=str(say("How {platform} fits: {score} %", platform=found.report.platform, score=found.report.score))
    )
    table.add_column(say("Query"))
    table.add_column(say("Fit"))
    table.add_column(say("Variant"))
    table.add_column(say("Rows (about)"), justify="right")
    table.add_column(say("What is missing"))
    for query in found.report.queries:
        rows = "" if query.row_estimate is None else f"{query.row_estimate:,}"
        gaps = query.reason or ", ".join(str(gap) for gap in query.missing_optional)
        table.add_row(query.name, query.status.replace("_", " "), query.variant, rows, gaps)
    console.print(table)
    for answer in found.report.probes:
        console.print(f"{answer.question} {answer.value}", markup=False)
