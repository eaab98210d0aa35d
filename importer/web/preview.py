"""`/import/profiles/<id>/preview`: mapped rows, the expected outcome, and the buttons that start (U27, X1-X5)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from importer import codes, operations
from importer.errors import SourceError
from importer.file_targets import is_table
from importer.models import ImportProfile
from importer.modes import Mode, Strategy
from importer.operations.looks import OUTCOMES
from importer.operations.profile_preview import ProfilePreview, QueryPreview, preview_profile
from importer.query.layout import readable
from importer.web.forms import BATCH_SIZES
from importer.web.profiles import why_not_start
from importer.web.way import source_page, way_of
from permissions import policy
from servicevault.web.pages import PageRequest, render_page
from servicevault.wording import say
from templates_registry import operations as packs

REVEAL = "import.pii.reveal"
ROWS = (10, 25, 100)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    target: str
    source: str
    differs: bool


@dataclass(frozen=True)
class Row:
    """A sampled row as the table shows it."""

    identifier: str
    outcome: str
    icon: str
    colour: str
    why: str
    cells: tuple[Cell, ...]


@require_http_methods(["GET", "HEAD", "POST"])
@source_page("preview", say("Preview"), action="view")
def preview_page(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """One query at a time; a POST with a purpose shows personal data to those who may see it."""
    given = request.POST if request.method == "POST" else request.GET
    reveal, problem = _reveals(request, profile)
    mode = given.get("mode", "") if given.get("mode", "") in Mode.values else profile.import_mode
    limit = int(given["limit"]) if given.get("limit", "") in {str(number) for number in ROWS} else ROWS[0]
    context = way_of(request, profile, "preview")
    state = context["state"]
    enabled = [entity.query for entity in state.entities if entity.query.enabled]
    current = next((query for query in enabled if query.key == given.get("query")), enabled[0] if enabled else None)
    context |= {"current": current, "mode": mode, "limit": limit, "limits": ROWS, "problem": problem}
    context |= {"modes": Mode.choices, "strategies": Strategy.choices, "batch_sizes": BATCH_SIZES}
    context |= {"may_reveal": policy.has(request.user, REVEAL), "is_revealed": reveal}
    context["feeds_tables"] = [query.name for query in enabled if is_table(query.target_type)]
    context["why_not"] = why_not_start(request.user, profile, queries=len(enabled), active=state.active)
    if current is not None:
        try:
            found = preview_profile(
                profile,
                by=request.user,
                keys=[current.key],
                limit=limit,
                mode=mode,
                reveal=reveal,
                refresh="refresh" in given,
            )
        except operations.Conflict as error:
            context["refused"] = error
        else:
            context |= _shown(found, current.key) | {"fit": _fit(profile)}
            context["why_not"] = context["why_not"] or _missing(state)
    return render_page(
        request, "importer/preview.html", "importer/_preview.html", context, status=422 if problem else 200
    )


def _fit(profile: ImportProfile) -> packs.AppliedFit | None:
    """How the profile's template fits; a source that went away meanwhile is told by the preview itself."""
    try:
        return packs.fit_of(profile)
    except SourceError:
        return None


def _reveals(request: PageRequest, profile: ImportProfile) -> tuple[bool, str]:
    """Whether rows are shown unmasked, and why not."""
    if request.method != "POST":
        return False, ""
    policy.require(request.user, REVEAL)
    purpose = request.POST.get("purpose", "").strip()
    if len(purpose) < 3:
        return False, say("Say what you need the unmasked data for.")
    log.info("personal data of profile %s shown to %s: %r", profile.pk, request.user.pk, purpose[:200])
    return True, ""


def _missing(state: Any) -> str:
    lacking = [f"{entity.query.name}: {', '.join(entity.missing)}" for entity in state.entities if entity.missing and entity.query.enabled]  # fmt: skip
    return say("Required fields are not mapped. {lacking}.", lacking=lacking[0]) if lacking else ""


def _shown(found: ProfilePreview, key: str) -> dict[str, Any]:
    look = next(item for item in found.queries if item.query.key == key)
    counts = {**found.impact.counts, "failed": found.impact.counts["failed"] - found.impact.waiting}
    tiles = [(each.word, counts[name], each.icon, each.colour) for name, each in OUTCOMES.items()]
    if found.impact.waiting:
        tiles.insert(1, (say("need other queries"), found.impact.waiting, "hourglass", "grey"))
    return {
        "preview": found,
        "look": look,
        "looks": found.queries,
        "tiles": tiles,
        "headings": _headings(look),
        "rows": _rows(look),
        "sql": readable(look.compiled.text) if look.compiled else "",
        "parameters": look.compiled.params if look.compiled else {},
    }


def _headings(look: QueryPreview) -> list[tuple[str, str]]:
    """Target field and where it comes from."""
    if look.sampled is None:
        return []
    body = operations.dumped(look.sampled.spec)
    sources = {
        item.get("target"): item.get("source") or ", ".join(map(str, item.get("sources") or ()))
        for item in body.get("fields", ())
    }
    return [(name, _source_text(sources.get(name))) for name in look.sampled.sample.fields]


def _source_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _rows(look: QueryPreview) -> list[Row]:
    if look.sampled is None:
        return []
    names = look.sampled.sample.fields
    rows = []
    for item in look.sampled.sample.rows:
        outcome = OUTCOMES[item.outcome]
        problem = next(iter(item.problems), {})
        why = str(problem.get("message") or codes.words(item.code or ""))
        cells = tuple(_cell(item.target.get(name), item.source.get(name)) for name in names)
        rows.append(Row(item.identifier, outcome.word, outcome.icon, outcome.colour, why, cells))
    return rows


def _cell(target: Any, source: Any) -> Cell:
    stored, read = _text(target), _text(source)
    return Cell(stored, read, differs=stored != read)


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
