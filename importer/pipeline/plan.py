"""What a run of one query does, as plain values: decided once, the same for every slice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, Literal
from uuid import UUID

from importer.modes import AgentAction, AgentStrategy, Mode, Strategy
from importer.pipeline.columns import Cells
from importer.pipeline.transforms import Transform
from servicevault.catalog import Field, Rule, Target, Unresolved

PRIMARY_WEIGHT, SECONDARY_WEIGHT = 0.8, 0.2  # K1

WriteRule = Literal["overwrite", "if_empty", "never", "append"]


@dataclass(frozen=True)
class Check:
    """One validation of a field: a name of `checks.KINDS` or of the target's rules."""

    name: str
    params: Mapping[str, Any] = attribute(default_factory=dict)
    warns: bool = False  # the row goes in all the same
    message: str = ""  # instead of ours


@dataclass(frozen=True)
class Mapped:
    """One target field that the query fills."""

    field: Field
    column: str  # key of the value in the row's JSON
    source_type: str = "text"  # PostgreSQL type of the value at the source
    transforms: tuple[Transform, ...] = ()
    write_rule: WriteRule = "overwrite"
    keep_empty: bool = False  # an empty source value leaves the target's as it is (DEC-20)
    value_map: Mapping[str, str | None] = attribute(default_factory=dict)  # canonical source value → target value
    resolve_by: str = ""  # natural key that finds the reference when no external id does
    entity: str = ""  # only this entity is searched
    unresolved: Unresolved | None = None  # instead of the reference's default
    checks: tuple[Check, ...] = ()  # validations people chose for the field (M13)


@dataclass(frozen=True)
class Matching:
    """How a row nobody imported before finds its target (O5, K1)."""

    enabled: bool = True
    strategy: Strategy = Strategy.EXACT
    primary: tuple[str, ...] = ()
    secondary: tuple[str, ...] = ()
    threshold: float = 85.0
    review_floor: float | None = None  # below the threshold and at or above this: a person decides


@dataclass(frozen=True)
class Choice:
    """What a person said becomes of one row, instead of what matching and strategy would make of it (U25)."""

    external_id: str
    action: AgentAction
    target: UUID | None = None  # whom the row is, or who stands in for it
    problem: str = ""  # why it cannot be done; the row fails with it


@dataclass(frozen=True)
class LoadPlan:
    """Everything the statements of one query's slices are generated from."""

    target: Target
    mapped: tuple[Mapped, ...]
    entity_id: int
    version_id: int
    searched: Mapping[str, tuple[int, ...]]  # target type → entities of this source that feed it
    entity_ids: Mapping[str, int] = attribute(default_factory=dict)  # entity name → id
    mode: Mode = Mode.UPSERT
    matching: Matching = attribute(default_factory=Matching)
    timezone: str = "UTC"  # of source timestamps without zone
    number_prefix: str = ""
    agent_strategy: AgentStrategy = AgentStrategy.CREATE
    placeholder_agent: UUID | None = None
    choices: tuple[Choice, ...] = ()
    default_account_name: str = ""
    makes_default_account: bool = True  # False: whoever imports may not write accounts
    recreate_deleted: bool = False
    record_unchanged: bool = False
    cells: Cells = attribute(default_factory=Cells)  # how a file writes numbers and dates
    of_file: bool = False  # its cells are texts that people wrote
    refuses_existing: bool = False  # a row that is here already, or comes twice, fails (F-057)
    draws_numbers: bool = True  # a rehearsal uses up none of the numbers that rows are given

    @property
    def fields(self) -> Mapping[str, Mapped]:
        return {mapped.field.name: mapped for mapped in self.mapped}

    @property
    def described(self) -> Mapping[str, Any]:
        """What records tell of it: the matching in force (K14), and the columns' types at the source (R2)."""
        return {
            "matching": {
                "enabled": self.matching.enabled,
                "strategy": str(self.matching.strategy),
                "confidence_threshold": self.matching.threshold,
                "review_floor": self.matching.review_floor,
                "weights": {"primary": PRIMARY_WEIGHT, "secondary": SECONDARY_WEIGHT},
                "primary_fields": list(self.matching.primary),
                "secondary_fields": list(self.matching.secondary),
            },
            "types": {mapped.column: mapped.source_type for mapped in self.mapped},
        }

    @property
    def rules(self) -> list[tuple[Check, Rule]]:
        """The target's rules that are switched on."""
        named = self.target.rules
        return [(check, named[check.name]) for mapped in self.mapped for check in mapped.checks if check.name in named]

    @property
    def skips_unchanged(self) -> bool:
        """Whether rows with the hash of the last import are counted without being staged."""
        return self.mode is not Mode.CREATE and not self.record_unchanged and not self.recreate_deleted


def digest(description: Mapping[str, Any]) -> str:
    """A stable fingerprint of a mapping: a row written under another one is compared again."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, default=str).encode()).hexdigest()
