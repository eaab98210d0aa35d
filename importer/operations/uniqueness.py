"""How well fields tell rows of a query apart, measured at the source (U24)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from importer.errors import ImporterError, SourceError
from importer.models import ImportProfile
from importer.operations.previews import compile_for, profile_queries
from importer.operations.schema import kept, looking, source_map
from importer.planning import stored_spec
from servicevault import catalog

MEASURED_ROWS = 100_000
SECONDS = 5.0


@dataclass(frozen=True)
class Uniqueness:
    """Of the first 100,000 rows of a query: how many have a value, and how many values occur once only."""

    target: str
    field: str
    rows: int
    filled: int
    distinct: int

    @property
    def percent(self) -> float:
        return round(100 * self.distinct / self.filled, 1) if self.filled else 0.0

    @property
    def collisions(self) -> int:
        """Rows whose value another row has as well."""
        return self.filled - self.distinct


def measure(profile: ImportProfile, fields: Iterable[str], *, by: Any) -> list[Uniqueness]:
    """One answer for each enabled query and each of `fields` it maps; a query that cannot be asked is left out.

    Kept for ten minutes while no query changes.
    """
    wanted = list(dict.fromkeys(fields))
    forms = [f"{query.pk} {query.updated_at}" for query in profile_queries(profile)]
    return kept("uniqueness", profile, lambda: _measured(profile, wanted, by), *wanted, *forms)


def _measured(profile: ImportProfile, wanted: list[str], by: Any) -> list[Uniqueness]:
    schema = source_map(profile).schema
    found = []
    with looking(profile, by) as session:
        for query in profile_queries(profile):
            if not query.enabled or not wanted:
                continue
            try:
                spec = stored_spec(query)
                target = catalog.get(spec.target_type)
                mapped = {item.target for item in spec.fields}
                names = [name for name in wanted if name in mapped and target.field(name)]
                if not names:
                    continue
                compiled = compile_for(profile, spec, schema)
                statement, params = compiled.filled_and_distinct(names, rows=MEASURED_ROWS)
                row = session.fetch_all(statement, params, timeout_seconds=SECONDS)[0]
            except SourceError:
                if not session.is_open:
                    raise
                continue
            except ImporterError:
                continue
            for place, name in enumerate(names):
                found.append(Uniqueness(target.label, name, row[0], row[1 + 2 * place], row[2 + 2 * place]))
    return found
