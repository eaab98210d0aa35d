"""As whom the rows of a job are written: as the database role that may write them and keep the books of an import."""

from __future__ import annotations

from importer.models import ExternalRef, ImportRecord, PendingReference, QueryRun
from importer.pipeline.plan import LoadPlan
from importer.pipeline.tables.plan import TablePlan
from servicevault import writer_role
from servicevault.tables import Table
from servicevault.writer_role import Rights

_KEPT = {
    ImportRecord: {"SELECT", "INSERT"},
    ExternalRef: {"SELECT", "INSERT", "UPDATE"},
    PendingReference: {"SELECT", "INSERT", "UPDATE", "DELETE"},
    QueryRun: {"SELECT", "INSERT", "UPDATE"},
}
BOOKS = [Rights(model._meta.db_table, whole=frozenset(rights)) for model, rights in _KEPT.items()]


def writer_of(plan: LoadPlan | TablePlan) -> str | None:
    """The role that the plan's rows are written as; None where they are written as ourselves."""
    if isinstance(plan, LoadPlan):
        return of_desk()
    if any(plan.table.by_name[column].sensitive for column in plan.table.primary_key):
        return None  # records name the new row by its key, which nobody may read
    return writer_role.writer([*writer_role.of_table(plan.table), *_looked_up()], BOOKS)


def of_desk() -> str | None:
    """The same for rows of target types."""
    return writer_role.writer(writer_role.desk(), BOOKS)


def remover_of(table: Table) -> str | None:
    """The role that a rollback writes the table's rows as; None where they are written as ourselves."""
    if any(table.by_name[column].sensitive for column in table.primary_key):
        return None
    return writer_role.remover(writer_role.of_table(table))


def _looked_up() -> list[Rights]:
    """What validations may ask for."""
    return [rights for rights in writer_role.desk() if not rights.written]
