"""What an operation refuses with, besides the failures of the source and of the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from importer.errors import ImporterError
from importer.models import ImportProfile
from servicevault.wording import say, say_count


class ProfileBusy(ImporterError):
    """Another job of the profile is not finished; `running_jobs` are their numbers (X11)."""

    code = "profile_busy"

    def __init__(self, profile: ImportProfile, running_jobs: list[int]) -> None:
        super().__init__(
            say(
                "“{profile}” has an unfinished job: {running_jobs}.",
                profile=profile.name,
                running_jobs=", ".join(map(str, running_jobs)) or say("just started"),
            ),
            hint=say("Wait for it, cancel it, or resume it."),
        )
        self.running_jobs = running_jobs


class Conflict(ImporterError):
    """The object's state does not allow the action."""

    code = "conflict"


class TooManyJobs(ImporterError):
    """The person has as many unfinished jobs as one may have (G33)."""

    code = "rate_limited"

    def __init__(self, count: int) -> None:
        super().__init__(
            say_count("You have {count} unfinished job.", "You have {count} unfinished jobs.", count),
            hint=say("Wait until one ends, or cancel one."),
        )


class VersionConflict(Conflict):
    """Somebody else saved the object since it was read (C10, U2)."""

    code = "version_conflict"

    def __init__(self, name: str, *, changed_by: Any, changed_at: datetime | None) -> None:
        self.changed_by = str(changed_by) if changed_by else ""
        self.changed_at = changed_at
        by = self.changed_by
        super().__init__(
            say("“{name}” was changed by {by} meanwhile.", name=name, by=by)
            if by
            else say("“{name}” was changed meanwhile.", name=name),
            hint=say("Reload it and apply your change again, or overwrite it."),
        )


class InvalidFields(ImporterError):
    """Values that cannot be stored: `errors` has the sentences of each field."""

    code = "validation_error"

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        self.errors = {name: list(texts) for name, texts in errors.items()}
        name, texts = next(iter(self.errors.items()))
        super().__init__(texts[0] if texts else say("This value is not acceptable."), where=name)

    @classmethod
    def of(cls, error: ValidationError) -> InvalidFields:
        """The same findings as Django's, in our words for a constraint."""
        return cls(error.message_dict if hasattr(error, "error_dict") else {"": error.messages})
