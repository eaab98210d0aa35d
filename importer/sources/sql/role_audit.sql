-- What the login may do beyond reading. One row. Runs on PostgreSQL 10 and newer.
WITH memberships AS (
    -- A role one is a member of can be taken on with SET ROLE, so its attributes count.
    SELECT r.rolname, r.rolsuper, r.rolreplication, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb
    FROM pg_catalog.pg_roles AS r
    WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
),
schemas AS (
    SELECT n.oid, n.nspname
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
),
writable AS (
    SELECT n.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class AS c
    JOIN schemas AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'f')
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND (pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
           OR pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
)
SELECT
    coalesce(bool_or(m.rolsuper), false) AS superuser,
    coalesce(bool_or(m.rolreplication), false) AS replication,
    coalesce(bool_or(m.rolbypassrls), false) AS bypassrls,
    coalesce(bool_or(m.rolcreaterole), false) AS createrole,
    coalesce(bool_or(m.rolcreatedb), false) AS createdb,
    coalesce(bool_or(m.rolname = 'pg_read_server_files'), false) AS read_server_files,
    coalesce(bool_or(m.rolname = 'pg_write_server_files'), false) AS write_server_files,
    coalesce(bool_or(m.rolname = 'pg_execute_server_program'), false) AS execute_server_program,
    (SELECT min(s.nspname::text) FROM schemas AS s WHERE pg_catalog.has_schema_privilege(s.oid, 'CREATE')) AS create_schema,
    (SELECT count(*) FROM writable) AS writable_count,
    (SELECT min(w.name) FROM writable AS w) AS writable_example
FROM memberships AS m;
