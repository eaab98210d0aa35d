"""A person's unsaved work on a query: kept on every change, stepped through, saved or discarded (Q3, Q26, Q33, Q38)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from importer.models import ImportProfile, ImportQuery, QueryDraft
from importer.operations.failures import InvalidFields
from importer.operations.previews import body_of
from importer.operations.queries import SavedQuery, convert_to_sql, save_query
from servicevault.wording import say

STEPS = 50
MOST_DRAFTS = 200  # of one person
MOST_BYTES = 512 * 1024  # of one body's text


def open_draft(profile: ImportProfile, user: Any, key: str, *, start: Mapping[str, Any] | None = None) -> QueryDraft:
    """The person's draft of the query, begun from what is saved, or from `start` for a new one.

    A draft nobody changed begins anew when the query was saved since. Of more than 200 drafts of a person the oldest
    go, those that were not changed first.
    """
    query = ImportQuery.objects.filter(profile=profile, key=key).first()
    draft = QueryDraft.objects.filter(profile=profile, user=user, key=key).first()
    if draft is not None and query is not None and draft.base_version < query.version and not is_changed(draft):
        draft.delete()
        draft = None
    if draft is not None:
        return draft
    _make_room(user)
    body = body_of(query) if query else {"key": key, "joins": [], "fields": [], "filters": [], **(start or {})}
    draft, _ = QueryDraft.objects.get_or_create(
        profile=profile, user=user, key=key, defaults={"steps": [body], "base_version": query.version if query else 0}
    )
    return draft


def _make_room(user: Any) -> None:
    """Let go of what is more than a person may have, with the one that is begun now."""
    drafts = QueryDraft.objects.filter(user=user)
    excess = drafts.count() + 1 - MOST_DRAFTS
    if excess > 0:
        changed = RawSQL("base_version = 0 OR steps -> place::integer <> steps -> 0", (), BooleanField())
        oldest = drafts.annotate(changed=changed).order_by("changed", "updated_at", "pk").values("pk")[:excess]
        QueryDraft.objects.filter(pk__in=[found["pk"] for found in oldest]).delete()


def body_in(draft: QueryDraft) -> dict[str, Any]:
    """What the person sees now."""
    body: dict[str, Any] = draft.steps[draft.place]
    return body


def is_changed(draft: QueryDraft) -> bool:
    """Whether there is anything that was not saved."""
    return draft.base_version == 0 or draft.steps[draft.place] != draft.steps[0]


@transaction.atomic
def change_draft(draft: QueryDraft, body: Mapping[str, Any]) -> QueryDraft:
    """Keep a changed body as the next step; steps that were undone are forgotten. Nothing happens for an equal one.

    Raises InvalidFields for a body too large to keep.
    """
    draft = QueryDraft.objects.select_for_update().get(pk=draft.pk)
    if dict(body) == body_in(draft):
        return draft
    if len(str(body)) > MOST_BYTES:
        raise InvalidFields({"": [say("The query is too large to be kept.")]})
    steps = [*draft.steps[: draft.place + 1], dict(body)]
    # The first step is what is saved; it stays to compare with.
    draft.steps = [steps[0], *steps[1:][-STEPS:]]
    draft.place = len(draft.steps) - 1
    draft.save()
    return draft


def undo(draft: QueryDraft) -> QueryDraft:
    """One step back; the first step stays."""
    return _step(draft, -1)


def redo(draft: QueryDraft) -> QueryDraft:
    """One step forward again, if one was undone."""
    return _step(draft, +1)


@transaction.atomic
def _step(draft: QueryDraft, by: int) -> QueryDraft:
    draft = QueryDraft.objects.select_for_update().get(pk=draft.pk)
    draft.place = max(0, min(len(draft.steps) - 1, draft.place + by))
    draft.save()
    return draft


def discard_draft(draft: QueryDraft) -> None:
    """Forget the unsaved work; the saved query is what there is."""
    draft.delete()


@transaction.atomic
def save_draft(draft: QueryDraft, *, by: Any, overwrite: bool = False) -> SavedQuery:
    """Save what the person sees; the draft begins anew from it.

    Raises what `save_query` raises; VersionConflict unless `overwrite` when somebody else saved since it was begun.
    """
    version = draft.base_version if draft.base_version and not overwrite else None
    saved = save_query(draft.profile, body_in(draft), by=by, key=draft.key, version=version)
    return _begun_anew(draft, saved)


def draft_to_sql(draft: QueryDraft, *, by: Any) -> SavedQuery:
    """Save what the person sees, and behind it the SQL it stands for; the draft begins anew from that (Q25).

    Raises what `convert_to_sql` raises; VersionConflict when somebody else saved since the draft was begun.
    """
    saved = convert_to_sql(draft.profile, body_in(draft), by=by, key=draft.key, version=draft.base_version or None)
    return _begun_anew(draft, saved)


def _begun_anew(draft: QueryDraft, saved: SavedQuery) -> SavedQuery:
    QueryDraft.objects.filter(pk=draft.pk).update(
        key=saved.query.key, steps=[body_of(saved.query)], place=0, base_version=saved.query.version
    )
    draft.refresh_from_db()
    return saved
