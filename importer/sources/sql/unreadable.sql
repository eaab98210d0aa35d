-- Relations this login may not read, and whether it may use their schema. Runs on PostgreSQL 10 and newer.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usable,
    current_user::text AS login
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT LIKE 'pg\_%'
  AND n.nspname <> 'information_schema'
  AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))
ORDER BY n.nspname, c.relname;
