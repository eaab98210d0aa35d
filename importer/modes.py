"""The words a profile and a job choose from, with the aliases the guides use (DEC-03)."""

from __future__ import annotations

from django.db.models import TextChoices

from servicevault.wording import say


class Mode(TextChoices):
    """What a job may do to the target."""

    CREATE = "create", say("Create only")
    UPDATE = "update", say("Update only")
    UPSERT = "upsert", say("Create or update")


MODE_ALIASES = {"create_only": Mode.CREATE, "update_only": Mode.UPDATE, "create_or_update": Mode.UPSERT}


class Strategy(TextChoices):
    """How a source row finds the target row that may be the same thing."""

    EXACT = "exact", say("Exact")
    CASE_INSENSITIVE = "case_insensitive", say("Case-insensitive")


STRATEGY_ALIASES = {
    "exact_match": Strategy.EXACT,
    "case_insensitive_match": Strategy.CASE_INSENSITIVE,
    "case-insensitive": Strategy.CASE_INSENSITIVE,
}


class AccountStrategy(TextChoices):
    """Where the account of a customer comes from when none is mapped (E34)."""

    COMPANY = "company", say("Company text")
    COMPANY_OR_DOMAIN = "company_or_domain", say("Company text, else mail domain")
    DOMAIN = "domain", say("Mail domain")
    SINGLE = "single", say("One account for all")


class AgentStrategy(TextChoices):
    """What happens to agents nobody here matches (E39)."""

    CREATE = "create", say("Create")
    MATCH_ONLY = "match_only", say("Match only")
    PLACEHOLDER = "placeholder", say("Use the placeholder agent")


class AgentAction(TextChoices):
    """What a person says becomes of one agent of the source (U25)."""

    CREATE = "create", say("Create")
    MATCH = "match", say("Match")
    PLACEHOLDER = "placeholder", say("Placeholder")


class Outcome(TextChoices):
    """What happened to a source row; every row read ends in exactly one (DEC-02)."""

    CREATED = "created", say("Created")
    UPDATED = "updated", say("Updated")
    UNCHANGED = "unchanged", say("Unchanged")
    SKIPPED = "skipped", say("Skipped")
    FAILED = "failed", say("Failed")
    REVIEW = "review", say("Review")


class Bucket(TextChoices):
    """What a rollback, or its undo, made of a record; every record ends in exactly one (R15)."""

    REVERSED = "reversed", say("Reversed")
    KEPT_EDITED = "kept_edited", say("Kept, edited")
    BLOCKED = "blocked", say("Blocked")
    ERROR = "error", say("Error")

    @property
    def outcome(self) -> Outcome:
        """The counter of the job that counts it, so that a rollback's sums and progress are those of every job."""
        return _COUNTED[self]


_COUNTED = {
    Bucket.REVERSED: Outcome.UPDATED,
    Bucket.KEPT_EDITED: Outcome.SKIPPED,
    Bucket.BLOCKED: Outcome.REVIEW,
    Bucket.ERROR: Outcome.FAILED,
}


def mode_of(text: str) -> Mode:
    """The mode a text names, canonically. Raises ValueError for anything else."""
    return MODE_ALIASES.get(text) or Mode(text)


def strategy_of(text: str) -> Strategy:
    """The strategy a text names, canonically. Raises ValueError for anything else."""
    return STRATEGY_ALIASES.get(text) or Strategy(text)
