"""`/settings/data-import/<job>/map`: which column of the file fills which of the table (U50, F-157)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods

from importer.errors import ImporterError
from importer.file_part_options import of_part, own
from importer.file_parts import Part
from importer.file_planning import unmapped_required
from importer.models import ImportJob
from importer.modes import AccountStrategy
from importer.operations import files
from importer.operations.files import TargetColumn
from importer.web.files.flow import LOST, Refusal, go, part_of, rows_of, shell_of, waiting_page
from servicevault import catalog
from servicevault.api.limits import asked
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say, say_count

SAMPLES = 3
SHOWN = 10  # errors of the first rows
TRANSFORMS = (
    ("", say("As it is")), ("trim", say("Trim blanks")), ("upper", say("Upper case")), ("lower", say("Lower case")),
    ("number", say("Number")), ("date", say("Date")), ("boolean", say("Yes or no")),
)  # fmt: skip
STRATEGIES = (
    ("skip", say("Skip"), say("Rows that are here already stay as they are.")),
    ("update", say("Update"), say("Rows that are here already get the file's values.")),
    ("error", say("Refuse"), say("Rows that are here already count as errors.")),
)
OWN_OPTIONS = ("account_strategy", "on_duplicate")
FOUND_BY = ":"
KEPT = "kept"  # a transformation that the form cannot say: it stays as a template or the API set it
LEVELS = {"High": ("green", say("High")), "Medium": ("blue", say("Medium")), "Low": ("amber", say("Low"))}


@dataclass(frozen=True)
class Row:
    """A column of the file in the table of the form."""

    number: str  # as it is in the names of the form: never with separators
    source: str
    samples: tuple[str | None, ...]
    target: str
    transform: str
    is_kept: bool
    skip_empty: bool
    default: str
    level: str
    colour: str
    certainty: str
    reason: str
    is_hidden: bool
    has_choices: bool  # its field has fixed values
    custom: str  # the name of a field of its own, where the target has such
    values: str  # what the file's values mean, of a field of the help desk


@dataclass(frozen=True)
class Option:
    """What a column can go to, as the form offers it."""

    value: str
    words: str


@dataclass(frozen=True)
class Tally:
    """The counters of the page."""

    mapped: int
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
@waiting_page
def map_page(request: PageRequest, job: ImportJob) -> HttpResponse:
    """The form; a change is kept and judged at the first hundred rows, `go` has every row checked."""
    if request.method != "POST":
        return _page(request, job, part_of(request, job))
    act, part = request.POST.get("act", ""), part_of(request, job)
    try:
        if act == "auto":
            files.map_anew(job, request.user, rows_of(request, job, part), part=part.place)
        elif act == "clear":
            files.configure(job, request.user, part=part.place, mappings=[])
        else:
            options = options_of_part(request.POST, job, part)
            files.configure(
                job, request.user, part=part.place, options=options, mappings=mappings_of(request.POST, part)
            )
        if act == "go":
            files.validate(job, request.user)
            return go(request, "data_import_check", job.pk)
    except LOST:
        raise
    except ImporterError as error:
        job.file.refresh_from_db()
        return _page(request, job, part_of(request, job), refusal=Refusal.of(error))
    return _page(request, job, part_of(request, job))


def options_of_part(given: QueryDict, job: ImportJob, part: Part) -> dict[str, Any] | None:
    """The options with what the form says of the part, which are its own in a document; None where it says nothing."""
    options = job.file.import_options
    said = own(options, part) if part.place else dict(options)
    for name in OWN_OPTIONS:
        if name in given:
            said.pop(name, None)
            if value := plain_text(given.get(name), limit=32):
                said[name] = value
    return said if any(name in given for name in OWN_OPTIONS) else None


def mappings_of(given: QueryDict, part: Part) -> list[dict[str, Any]]:
    """The mapping as the form says it; rows come by number, so that names of any kind are safe."""
    known = {each["source_column"]: each for each in part.field_mappings}
    found = []
    for number, source in enumerate(given.getlist("source")):
        target = given.get(f"target_{number}", "")
        if not target:
            continue
        transform: Any = given.get(f"transform_{number}", "") or None
        if transform == KEPT:
            transform = known.get(source, {}).get("transform")
        default = given.get(f"default_{number}", "").replace("\x00", "")
        mapping: dict[str, Any] = {
            "source_column": source,
            "target_column": target,
            "transform": transform,
            "skip_empty": f"skip_{number}" in given,
            "default": default or None,
        }
        found.append(mapping | (_meaning(given, number, target, known.get(source, {})) if part.target_type else {}))
    return found


def _meaning(given: QueryDict, number: int, target: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """How a reference is found and what values mean; what the form cannot say of a reference stays."""
    name, _, by = target.partition(FOUND_BY)
    reference = stored.get("reference") or {} if stored.get("target_column") == name else {}
    reference = {key: value for key, value in reference.items() if key != "by"} | ({"by": by} if by else {})
    pairs = (pair.partition("=") for pair in given.get(f"values_{number}", "").replace("\x00", "").split(";"))
    values = {source.strip(): meant.strip() or None for source, sign, meant in pairs if sign and source.strip()}
    return {"target_column": name, "reference": reference or None, "value_map": values or None}


def tally_of(part: Part, missing: Sequence[str]) -> Tally:
    mapped = {each["target_column"] for each in part.field_mappings}
    sources = {each["source_column"] for each in part.field_mappings}
    return Tally(len(mapped), tuple(header for header in part.headers if header not in sources), tuple(missing))


def options_of(targets: Sequence[TargetColumn]) -> list[Option]:
    """The targets as a person chooses them; a reference once for each way to find its row."""
    found = []
    for each in targets:
        told = [say("required")] * each.is_required + [say("unique")] * each.is_unique
        found.append(Option(each.name, f"{each.name} \N{EN DASH} {', '.join(map(str, (each.type.lower(), *told)))}"))
        if each.finders:
            plain = each.name.removesuffix("_external_id")
            found += [
                Option(f"{each.name}{FOUND_BY}{key}", say("{plain}, found by its {key}", plain=plain, key=key))
                for key in each.finders
            ]
    return found


def _page(request: PageRequest, job: ImportJob, part: Part, *, refusal: Refusal | None = None) -> HttpResponse:
    """The page; for htmx what the change means alone: the fields stay as they are under the hands."""
    targets = files.targets(part, request.user, job.file.bounds)
    tally = tally_of(part, unmapped_required(part))
    context = shell_of(request, job, "map") | {"refusal": refusal, "tally": tally, "part": part}
    pace = asked("builder", request.user) if request.htmx and refusal is None else None
    if pace is not None and not pace.allowed:
        words = say("{limit} checks of the first rows in a minute are enough.", limit=pace.limit)
        context["refusal"] = Refusal(
            words,
            say_count(
                "The mapping is kept; a change in {count} second is judged again.",
                "The mapping is kept; a change in {count} seconds is judged again.",
                pace.reset,
            ),
        )
    elif refusal is None and context["allowance"].can_validate:
        try:
            report = files.validate_sample(job, request.user, part=part.place)
        except ImporterError as error:
            context["refusal"] = refusal = Refusal.of(error)
        else:
            context |= {"report": report, "errors": report["errors"][:SHOWN], "sampled": report["totalRows"]}
    if not request.htmx:
        context |= _form(request, job, part, targets) | _own_options(job, part)
    status = 422 if refusal and request.method == "POST" else 200
    if pace is not None and not pace.allowed:
        status = 429
    answer = render_page(request, "importer/files/map.html", "importer/files/_map_verdict.html", context, status=status)
    for name, value in pace.headers().items() if pace else ():
        answer.headers[name] = value
    return answer


def _form(request: PageRequest, job: ImportJob, part: Part, targets: Sequence[TargetColumn]) -> dict[str, Any]:
    try:
        rows = rows_of(request, job, part)
    except ImporterError:
        rows = []  # told by the verdict
    given = request.POST or request.GET
    text, only_unmapped = plain_text(given.get("q"), limit=100), given.get("unmapped") == "1"
    within = job.file.bounds
    proposed = files.suggest_mapping(part.headers, rows, request.user, within=within, **files.named(part))["mappings"]
    confidence = {(each["source_column"], each["target_column"]): each for each in proposed}
    used = {each["source_column"]: each for each in part.field_mappings}
    options, found = options_of(targets), []
    fixed = {each.name for each in targets if each.choices}
    custom = catalog.get(part.target_type).json_column if part.target_type else ""
    for number, source in enumerate(part.headers):
        mapping = used.get(source, {})
        told = confidence.get((source, mapping.get("target_column", "")), {})
        transform = mapping.get("transform") or ""
        is_kept = transform not in dict(TRANSFORMS) if isinstance(transform, str) else True
        default = mapping.get("default")
        colour, certainty = LEVELS.get(told.get("level", ""), ("grey", ""))
        found.append(
            Row(
                number=str(number),
                source=source,
                samples=tuple(row[number] for row in rows[:SAMPLES]),
                target=_chosen(mapping),
                transform=KEPT if is_kept else transform,
                is_kept=is_kept,
                skip_empty=bool(mapping.get("skip_empty")),
                default="" if default is None else str(default),
                level=told.get("level", ""),
                colour=colour,
                certainty=certainty,
                reason=told.get("reason", ""),
                is_hidden=text.lower() not in source.lower() or (only_unmapped and source in used),
                has_choices=mapping.get("target_column", "") in fixed,
                custom=f"{custom}.{source}",
                values="; ".join(
                    f"{value} = {meant or ''}" for value, meant in (mapping.get("value_map") or {}).items()
                ),
            )
        )
    return {
        "rows": found,
        "targets": options,
        "known": {option.value for option in options},
        "has_custom": custom,
        "transforms": TRANSFORMS,
        "kept": KEPT,
        "text": text,
        "only_unmapped": only_unmapped,
        "shown": sum(not row.is_hidden for row in found),
    }


def _own_options(job: ImportJob, part: Part) -> dict[str, Any]:
    """What else the form says of the part: whence its customers have their accounts, what becomes of rows that are here."""
    of_all, said = job.file.import_options, own(job.file.import_options, part)
    of_document = {value: words for value, words, _ in STRATEGIES}[of_all.get("on_duplicate") or "skip"]
    return {
        "account_strategies": AccountStrategy.choices if _derives_accounts(part) else [],
        "account_strategy": of_part(of_all, part).get("account_strategy") or AccountStrategy.COMPANY,
        "on_duplicate": said.get("on_duplicate") or "",
        "duplicates": [("", say("As the document says: {words}", words=of_document)), *(
            (value, words) for value, words, _ in STRATEGIES
        )] if part.place else [],
    }  # fmt: skip


def _derives_accounts(part: Part) -> bool:
    """Whether the part holds customers whose account no column names."""
    mapped = {each["target_column"] for each in part.field_mappings}
    return part.target_type == "customer_users" and "account_external_id" not in mapped


def _chosen(mapping: Mapping[str, Any]) -> str:
    """The target as the form names it."""
    by = (mapping.get("reference") or {}).get("by", "")
    return f"{mapping.get('target_column', '')}{FOUND_BY + by if by and by != 'external_id' else ''}"
