from __future__ import annotations

from django.db import migrations

# Passwords and tokens are beyond the role that imports write as; the answer to this question is not.
FUNCTION = """
CREATE FUNCTION user_can_log_in(person uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.users u WHERE u.id = person
        AND (u.is_superuser OR (u.password <> '' AND u.password NOT LIKE '!%')
            OR EXISTS (SELECT FROM public.permissions_apitoken k WHERE k.user_id = u.id AND k.revoked_at IS NULL)))
$$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("permissions", "0006_audit_chain"),
        ("servicevault", "0004_idempotent_requests"),
    ]

    operations = [migrations.RunSQL(FUNCTION, "DROP FUNCTION user_can_log_in(uuid)")]
