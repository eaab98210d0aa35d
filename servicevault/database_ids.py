"""Keys for migrations: running numbers that become UUIDs (C3)."""

from __future__ import annotations

from django.db import migrations

# Keys that point here are taken down, changed the same way and put up again, whichever application they belong to:
# the number stands at the end of its UUID, so that both sides meet again.
_TO_UUID = """
DO $$
DECLARE
    pointing record;
    definitions text[] := '{}';
    definition text;
BEGIN
    FOR pointing IN
        SELECT c.conname, c.conrelid::regclass AS relation, a.attname, pg_get_constraintdef(c.oid) AS written
        FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND c.confrelid = '{table}'::regclass
    LOOP
        definitions := definitions || format(
            'ALTER TABLE %s ADD CONSTRAINT %I %s', pointing.relation, pointing.conname, pointing.written);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', pointing.relation, pointing.conname);
        EXECUTE format(
            'ALTER TABLE %1$s ALTER COLUMN %2$I TYPE uuid USING lpad(to_hex(%2$I), 32, ''0'')::uuid',
            pointing.relation, pointing.attname);
    END LOOP;
    ALTER TABLE {table} ALTER COLUMN id DROP IDENTITY IF EXISTS;
    ALTER TABLE {table} ALTER COLUMN id TYPE uuid USING lpad(to_hex(id), 32, '0')::uuid;
    FOREACH definition IN ARRAY definitions LOOP
        EXECUTE definition;
    END LOOP;
END $$
"""


def ids_become_uuids(table: str) -> migrations.RunSQL:
    """The operation on the database behind an AlterField of `id`: every row keeps its place, and who points at it."""
    return migrations.RunSQL(_TO_UUID.replace("{table}", table))
