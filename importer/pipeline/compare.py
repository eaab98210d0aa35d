"""Compare: a row whose target exists against that target, locked: updated, unchanged, or skipped."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from importer.modes import Mode
from importer.pipeline import guarding
from importer.pipeline.binding import Bind, literals, name
from importer.pipeline.guarding import Change
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.work import is_number, stored, stored_columns


def lock_targets(plan: LoadPlan) -> sql.Composed:
    """Lock the rows about to be compared, in key order, so that two jobs never wait for each other in a ring."""
    return sql.SQL(
        "SELECT count(*) FROM (SELECT t.id FROM {} t WHERE t.id IN (SELECT w.target_id FROM pg_temp.work w "
        "WHERE w.action = 'existing') ORDER BY t.id FOR UPDATE) locked"
    ).format(sql.Identifier(plan.target.table))


def compare(plan: LoadPlan, bind: Bind, image: sql.Composable) -> sql.Composed:
    """Turn `existing` into updated, unchanged, skipped `exists`, or defer (a second row for one target)."""
    changes = guarding.split(plan.target.table, _differences(plan), bind)
    action = (
        sql.SQL("'skipped'")
        if plan.mode is Mode.CREATE
        else sql.SQL("CASE WHEN d.changed = '{{}}' THEN 'unchanged' ELSE 'updated' END").format()
    )
    code = sql.SQL("'exists'") if plan.mode is Mode.CREATE else sql.SQL("NULL::text")
    return sql.SQL(
        "UPDATE pg_temp.work w SET action = CASE WHEN d.place > 1 THEN 'defer' ELSE {action} END, code = {code}, "
        "changed = d.changed, {warnings} before = (SELECT json_object_agg(e.key, e.value) FROM json_each(d.image) e "
        "WHERE e.key = ANY(d.changed)) "
        "FROM (SELECT w.n, {changed} AS changed, {kept} AS kept, {image} AS image, "
        "row_number() OVER (PARTITION BY w.target_id ORDER BY w.n) AS place "
        "FROM pg_temp.work w JOIN {table} t ON t.id = w.target_id WHERE w.action = 'existing') d WHERE d.n = w.n"
    ).format(
        action=action,
        code=code,
        # What exists and is skipped was never to be written.
        warnings=sql.SQL("" if plan.mode is Mode.CREATE else guarding.ADDED),
        changed=changes.written,
        kept=changes.kept,
        image=image,
        table=sql.Identifier(plan.target.table),
    )


def updatable(plan: LoadPlan) -> Iterator[tuple[str, Mapped | None]]:
    """Columns an update may write, with the mapping that feeds them; an unmapped field is never written (M15)."""
    seen: set[str] = set()
    for mapped in plan.mapped:
        column = mapped.field.storage or (plan.target.json_column if mapped.field.json_key else "")
        if column and column not in seen and mapped.write_rule != "never":
            seen.add(column)
            yield column, (mapped if mapped.field.storage else None)
    for column in stored_columns(plan):
        mapped_directly = any(mapped.field.storage == column for mapped in plan.mapped)
        if column not in seen and column not in plan.target.fallbacks and not is_number(plan, column):
            if mapped_directly:
                continue
            seen.add(column)
            yield column, None


def _differences(plan: LoadPlan) -> Iterator[Change]:
    """Per updatable column the condition, over w and t, that its stored value would change."""
    names = {field.storage: field.name for field in plan.target.fields}
    for column, mapped in updatable(plan):
        new, old = sql.SQL("w.{}").format(stored(column)), name("t", column)
        if column == plan.target.json_column and mapped is None:
            joined = merged(plan, old, new)
            yield Change(column, column, sql.SQL("{} IS DISTINCT FROM {}").format(joined, old), joined)
            continue
        rule = mapped.write_rule if mapped else "overwrite"
        keeps_empty = mapped is not None and mapped.keep_empty
        required = column in plan.target.defaults or column == plan.target.default_account or is_number(plan, column)
        differs: sql.Composable = sql.SQL("{} IS DISTINCT FROM {}").format(old, new)
        if rule == "if_empty":
            differs = sql.SQL("({old} IS NULL OR {old}::text IN ('', '{{}}')) AND {new} IS NOT NULL").format(
                old=old, new=new
            )
        elif rule == "append":
            differs = _appended_differs(mapped, old, new)
        elif keeps_empty or required or column in {"created_at", "updated_at", "created_by_id"}:
            differs = sql.SQL("{} IS NOT NULL AND {}").format(new, differs)
        yield Change(column, mapped.field.name if mapped else names.get(column, column), differs, new)


def merged(plan: LoadPlan, old: sql.Composable, new: sql.Composable) -> sql.Composable:
    """The JSON column after an update: other keys stay, mapped ones follow their write rules (M15, M16)."""
    ruled: dict[str, list[str]] = {"overwrite": [], "if_empty": [], "never": [], "append": []}
    cleared = []
    for mapped in plan.mapped:
        if mapped.field.json_key:
            ruled[mapped.write_rule].append(mapped.field.json_key)
            if mapped.write_rule == "overwrite" and not mapped.keep_empty:
                cleared.append(mapped.field.json_key)
    kept, added = old, new
    if cleared:  # what is still there comes back from `new`, which has no empty values
        kept = sql.SQL("({} - {})").format(old, literals(cleared))
    if ruled["never"]:
        added = sql.SQL("({} - {})").format(added, literals(ruled["never"]))
    if ruled["if_empty"]:
        added = sql.SQL("({} - ARRAY(SELECT k FROM unnest({}) k WHERE coalesce({} ->> k, '') <> ''))").format(
            added, literals(ruled["if_empty"]), old
        )
    if ruled["append"]:
        # A key whose text holds the new one already keeps it.
        added = sql.SQL(
            "({added} || coalesce((SELECT jsonb_object_agg(k, CASE WHEN position({new} ->> k IN coalesce({old} ->> k, '')) > 0 "
            "THEN {old} ->> k ELSE concat_ws(E'\n', nullif({old} ->> k, ''), {new} ->> k) END) "
            "FROM unnest({keys}) k WHERE {new} ? k), '{{}}'))"
        ).format(added=added, new=new, old=old, keys=literals(ruled["append"]))
    return sql.SQL("({} || {})").format(kept, added)


def _appended_differs(mapped: Mapped | None, old: sql.Composable, new: sql.Composable) -> sql.Composable:
    if mapped is not None and mapped.field.type == "tags":
        return sql.SQL("{} IS NOT NULL AND NOT {} @> {}").format(new, old, new)
    return sql.SQL("{} IS NOT NULL AND position({} IN coalesce({}, '')) = 0").format(new, new, old)
