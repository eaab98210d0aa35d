"""What people said about single agents of a source, instead of the profile's strategy (U25)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from importer.modes import AgentAction

from .fields import KeyField
from .profiles import ImportProfile


class AgentChoice(models.Model):
    """One agent of the source and what becomes of them; `person` is whom they are, or who stands in.

    A placeholder without a person is the profile's, else the system user.
    """

    profile = models.ForeignKey(ImportProfile, on_delete=models.CASCADE, related_name="agent_choices")
    entity = models.CharField(max_length=64)
    external_id = KeyField()
    name = models.CharField(max_length=255, blank=True)  # as it was in the source, to be named in messages
    action = models.CharField(max_length=12, choices=AgentAction.choices)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    person_name = models.CharField(max_length=255, blank=True)  # stays when the person is gone
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["entity", "external_id"]
        constraints = [
            models.UniqueConstraint(fields=["profile", "entity", "external_id"], name="agentchoice_unique"),
            models.UniqueConstraint(
                fields=["profile", "person"], condition=Q(action=AgentAction.MATCH), name="agentchoice_one_claim"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.external_id}: {self.action}"
