-- What the connection test shows about the server and the database. One row.
SELECT
    current_setting('server_version') AS version,
    current_database()::text AS database,
    current_user::text AS username,
    (SELECT count(*)
     FROM pg_catalog.pg_class AS c
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
       AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
    ) AS table_count,
    (SELECT coalesce(string_agg(DISTINCT n.nspname::text, chr(31)), '')
     FROM pg_catalog.pg_class AS c
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    ) AS schemas,
    CASE WHEN pg_catalog.has_database_privilege(current_database(), 'CONNECT')
         THEN pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(current_database())) END AS size,
    extract(epoch FROM clock_timestamp())::float8 AS clock,
    (SELECT s.reset_val FROM pg_catalog.pg_settings AS s WHERE s.name = 'TimeZone') AS timezone;
