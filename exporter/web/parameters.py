"""What `{% data_export %}` was given: it travels signed, for one person, with every form of the component."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from exporter.bounds import Bounds
from servicevault.web.sealed import seal, unseal

KIND = "data_export"


@dataclass(frozen=True)
class Parameters:
    """The component's parameters, checked for nothing but their signature: rights are asked at each use."""

    table_name: str
    bounds: Bounds
    default_format: str = ""
    total_rows: int | None = None
    embedded: bool = False
    class_name: str = ""

    @classmethod
    def unsealed(cls, user: Any, sealed: str) -> Parameters:
        """What `sealed` holds. Raises SuspiciousOperation when it was changed, PermissionDenied when it is another's."""
        values = unseal(KIND, user, sealed)
        return cls(**values | {"bounds": Bounds.of(values["bounds"])})

    def sealed(self, user: Any) -> str:
        return seal(KIND, user, asdict(self))


def key_of(sealed: str) -> str:
    """What tells the parts of one component from those of another on the same page."""
    return f"export-{hashlib.sha256(sealed.encode()).hexdigest()[:10]}"
