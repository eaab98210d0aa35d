"""How far a profile is on its way to an import: the steps with their state, the queries, and what comes next (U19).

Asks the application's database only; what the source says is remembered by the pages that asked it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.cache import cache

from importer.errors import ImporterError
from importer.models import ImportJob, ImportProfile, ImportQuery, JobKind, QueryRun
from importer.modes import Mode, strategy_of
from importer.operations.previews import needed_fields, profile_queries
from importer.planning import stored_spec
from importer.query.spec import QuerySpec
from servicevault import catalog
from servicevault.jobs.models import ACTIVE, JobStatus
from servicevault.wording import say, say_count

StepState = Literal["done", "todo", "problem", "optional"]
REMEMBERED_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Step:
    """One step of the way; `key` is the page that does it."""

    key: str
    title: str
    state: StepState
    note: str


@dataclass(frozen=True)
class Entity:
    """One query as the overview shows it."""

    query: ImportQuery
    target: str  # label of what it fills
    mapped: int
    missing: tuple[str, ...]  # fields that must be mapped and are not
    problem: str  # why the stored query cannot be read
    coded: int  # mapped fields with fixed values
    open_values: int | None  # None when nobody looked yet
    last: QueryRun | None  # of the newest rehearsal or import that got that far


@dataclass(frozen=True)
class Readiness:
    steps: tuple[Step, ...]
    entities: tuple[Entity, ...]
    active: ImportJob | None
    rehearsal: ImportJob | None
    last: ImportJob | None  # newest import

    @property
    def next(self) -> Step:
        """The first step that is not done; the last one when all are."""
        return next((step for step in self.steps if step.state in ("todo", "problem")), self.steps[-1])

    @property
    def enabled(self) -> int:
        return sum(entity.query.enabled for entity in self.entities)

    @property
    def rehearsal_is_fresh(self) -> bool:
        """Whether nothing was changed since the last rehearsal began."""
        if self.rehearsal is None or self.rehearsal.status != JobStatus.COMPLETED:
            return False
        changed = [entity.query.updated_at for entity in self.entities]
        return not changed or max(changed) < self.rehearsal.created_at


def readiness(profile: ImportProfile) -> Readiness:
    """The profile's state; four queries, and none for each query of the profile."""
    jobs = list(profile.jobs.order_by("-created_at", "-number").prefetch_related("runs")[:20])
    runs: dict[str, QueryRun] = {}
    for job in jobs:
        for run in job.runs.all():
            if run.read or run.total is not None:
                runs.setdefault(run.key, run)
    entities = tuple(_entity(query, runs) for query in profile_queries(profile))
    found = Readiness(
        steps=(),
        entities=entities,
        active=next((job for job in jobs if job.status in ACTIVE), None),
        rehearsal=next((job for job in jobs if job.kind == JobKind.REHEARSAL), None),
        last=next((job for job in jobs if job.kind == JobKind.IMPORT), None),
    )
    return Readiness(_steps(profile, found), entities, found.active, found.rehearsal, found.last)


def _entity(query: ImportQuery, runs: Mapping[str, QueryRun]) -> Entity:
    spec, problem = _spec(query)
    if spec is None:
        return Entity(query, query.target_type, 0, (), problem, 0, None, runs.get(query.key))
    target = catalog.get(spec.target_type)
    names = {found.name for item in spec.fields if (found := target.field(item.target))}
    is_sql = spec.kind != "builder"
    coded = sum(bool(field.choices) for name in names if (field := target.field(name)))
    return Entity(
        query=query,
        target=target.label,
        mapped=len(spec.fields),
        missing=() if is_sql else tuple(name for name in needed_fields(spec) if name not in names),
        problem="",
        coded=coded,
        open_values=0 if not coded and not is_sql else cache.get(_values_key(query)),
        last=runs.get(query.key),
    )


def _spec(query: ImportQuery) -> tuple[QuerySpec | None, str]:
    try:
        return stored_spec(query), ""
    except ImporterError as error:
        return None, error.message
    except catalog.UnknownTarget as error:
        return None, str(error)


def remember_open_values(query: ImportQuery, count: int) -> None:
    """Keep how many source values of the query have no meaning here yet, until the query changes."""
    cache.set(_values_key(query), count, REMEMBERED_SECONDS)


def _values_key(query: ImportQuery) -> str:
    return f"open-values:{query.pk}:{query.updated_at.isoformat()}"


# -- steps ---------------------------------------------------------------------------------------------------------


def _steps(profile: ImportProfile, found: Readiness) -> tuple[Step, ...]:
    return (
        _connect(profile, found),
        _template(profile, found),
        _mapping(found),
        _values(found),
        Step("matching", say("Matching and writing"), "done" if found.enabled else "optional", summary_of(profile)),
        _preview(found),
        _run(found),
    )


def _connect(profile: ImportProfile, found: Readiness) -> Step:
    result = profile.last_test_result
    if not profile.has_password:
        return Step("connect", say("Connect"), "problem", say("No password is stored."))
    if result is None and found.last and found.last.status == JobStatus.COMPLETED:
        return Step("connect", say("Connect"), "done", say("It worked for job {last}.", last=found.last.number))
    if result is None:
        return Step("connect", say("Connect"), "todo", say("Not tested yet."))
    if not result.get("success"):
        return Step("connect", say("Connect"), "problem", str(result.get("message") or say("The last test failed.")))
    server = result.get("server")
    return Step(
        "connect",
        say("Connect"),
        "done",
        say("PostgreSQL {server} answers.", server=server) if server else say("The connection works."),
    )


def _template(profile: ImportProfile, found: Readiness) -> Step:
    title = say("What is it?")
    if profile.template:
        return Step("template", title, "done", f"{profile.template.name} {profile.template_version}".strip())
    if found.entities:
        return Step("template", title, "done", say("Queries of your own."))
    return Step("template", title, "todo", say("Pick a template, or build queries."))


def _mapping(found: Readiness) -> Step:
    missing = sum(len(entity.missing) for entity in found.entities if entity.query.enabled)
    broken = sum(bool(entity.problem) for entity in found.entities if entity.query.enabled)
    if not found.enabled:
        return Step(
            "mapping",
            say("Map fields"),
            "todo",
            say("No query is switched on.") if found.entities else say("No query yet."),
        )
    if broken or missing:
        note = (
            say_count("{count} required field to map.", "{count} required fields to map.", missing)
            if missing
            else say("A query is broken.")
        )
        return Step("mapping", say("Map fields"), "problem", note)
    return Step(
        "mapping",
        say("Map fields"),
        "done",
        say_count("{count} query mapped.", "{count} queries mapped.", found.enabled),
    )


def _values(found: Readiness) -> Step:
    title = say("Value maps")
    counts = [entity.open_values for entity in found.entities if entity.query.enabled]
    known = sum(count for count in counts if count is not None)
    if known:
        return Step(
            "values",
            title,
            "problem",
            say_count(
                "{shown} value without a meaning.", "{shown} values without a meaning.", known, shown=intcomma(known)
            ),
        )
    if not counts or None in counts:
        return Step("values", title, "todo" if counts else "optional", say("Not looked at yet."))
    return Step("values", title, "done", say("Every value has a meaning."))


def _preview(found: Readiness) -> Step:
    title = say("Preview and rehearse")
    if found.rehearsal is None:
        is_late = not found.enabled or (found.last is not None and found.last.status == JobStatus.COMPLETED)
        return Step("preview", title, "optional" if is_late else "todo", say("Never rehearsed."))
    if found.rehearsal.status in ACTIVE:
        return Step(
            "preview", title, "todo", say("Rehearsal {rehearsal} is at work.", rehearsal=found.rehearsal.number)
        )
    if not found.rehearsal_is_fresh:
        done = found.rehearsal.status == JobStatus.COMPLETED
        note = (
            say("Changed since the last rehearsal.")
            if done
            else say("Rehearsal {rehearsal} did not finish.", rehearsal=found.rehearsal.number)
        )
        return Step("preview", title, "todo", note)
    return Step("preview", title, "done", say("Rehearsed as job {rehearsal}.", rehearsal=found.rehearsal.number))


def _run(found: Readiness) -> Step:
    title = say("Run")
    job = found.last
    if job is None:
        return Step("run", title, "todo" if found.enabled else "optional", say("Never imported."))
    if job.status in ACTIVE:
        return Step("run", title, "todo", say("Job {job} is at work.", job=job.number))
    state: StepState = "done" if job.status == JobStatus.COMPLETED else "problem"
    return Step("run", title, state, say("Job {job} is {status}.", job=job.number, status=job.status))


_MODES = {
    Mode.CREATE: say("New rows are created; rows that are here already stay as they are"),
    Mode.UPDATE: say("Rows that are here already are updated; new ones are left out"),
    Mode.UPSERT: say("New rows are created, rows that are here already are updated"),
}


def summary_of(profile: ImportProfile) -> str:
    """What a run does, in one sentence."""
    matching = profile.matching or {}
    mode = _MODES[Mode(profile.import_mode)]
    if matching.get("enabled") is False:
        return say("{mode}. Only rows imported before from this source are recognised.", mode=mode)
    given = matching.get("strategy") or matching.get("matching_strategy")
    how = say("by each target's usual fields")
    if fields := matching.get("primary_fields"):
        how = say("by {fields}", fields=say(" and ").join(fields))
    exactness = strategy_of(given) if given else ""
    if exactness == "exact":
        said = say("Rows are recognised by their old id, then {how}, letter for letter.", how=how)
    elif exactness == "case_insensitive":
        said = say("Rows are recognised by their old id, then {how}, whatever their case.", how=how)
    else:
        said = say("Rows are recognised by their old id, then {how}.", how=how)
    return f"{mode}. {said}"
