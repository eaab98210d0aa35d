"""What `{% data_import %}` was given: it travels signed, for one person, until a file is stored with it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import QueryDict

from importer.file_bounds import Bounds
from servicevault.web.sealed import seal, unseal
from servicevault.wording import say

KIND = "data_import"


@dataclass(frozen=True)
class Parameters:
    """The component's parameters, checked for nothing but their signature: rights are asked at each use."""

    goal: str  # as the page of data import calls it: a table, or `desk:` and a target type
    bounds: Bounds
    default_format: str = ""
    embedded: bool = False
    class_name: str = ""

    @classmethod
    def unsealed(cls, user: Any, sealed: str) -> Parameters:
        """What `sealed` holds. Raises SuspiciousOperation when it was changed, PermissionDenied when it is another's."""
        values = unseal(KIND, user, sealed)
        return cls(**values | {"bounds": Bounds.of(values["bounds"])})

    def sealed(self, user: Any) -> str:
        return seal(KIND, user, asdict(self))


def parameters_of(user: Any, given: QueryDict) -> Parameters | None:
    """The parameters that came with a form or an address, for the target it names; None where none came.

    Raises SuspiciousOperation and PermissionDenied as `unseal` does.
    """
    if "within" not in given:
        return None
    found = Parameters.unsealed(user, given.get("within", ""))
    if found.goal != given.get("table", ""):
        raise SuspiciousOperation(say("These bounds belong to another table."))
    return found


def key_of(sealed: str) -> str:
    """What tells the parts of one component from those of another on the same page."""
    return f"import-{hashlib.sha256(sealed.encode()).hexdigest()[:10]}"
