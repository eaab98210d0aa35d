"""What a person is working on in the builder, and what was saved before."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from servicevault.wording import say

from .profiles import ImportProfile, ImportQuery


class QueryDraft(models.Model):
    """One person's unsaved work on one query: the only state of the builder (Q33).

    `steps` are the bodies to step through, the oldest first; the one at `place` is what the person sees.
    A body may be incomplete: it is judged when it is shown, and refused only when it is saved.
    """

    profile = models.ForeignKey(ImportProfile, on_delete=models.CASCADE, related_name="drafts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.SlugField(max_length=64)  # of the query it belongs to, whether that is saved yet or not
    base_version = models.PositiveIntegerField(default=0)  # version of the saved query it began from; 0 = none
    steps = models.JSONField(default=list)
    place = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["profile", "user", "key"], name="querydraft_one_a_person")]

    def __str__(self) -> str:
        return str(say("{key} of {user}", key=self.key, user=self.user))


class QueryVersion(models.Model):
    """A form a query was saved in (Q26); the newest equals the query."""

    query = models.ForeignKey(ImportQuery, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    value_maps = models.JSONField(default=dict)
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    saved_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["query", "number"], name="queryversion_unique")]

    def __str__(self) -> str:
        return str(say("{query} version {number}", query=self.query, number=self.number))
