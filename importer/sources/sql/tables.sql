-- Every relation the login may read, but the system's own and the children of partitioned tables.
-- Runs on PostgreSQL 10 and newer. Row counts are estimates of the last ANALYZE.
WITH RECURSIVE family AS (
    SELECT c.oid AS root, c.oid AS member
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind = 'p' AND NOT c.relispartition
    UNION ALL
    SELECT f.root, i.inhrelid
    FROM family AS f
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = f.member
),
leaves AS (
    SELECT f.root,
           sum(c.reltuples) FILTER (WHERE c.reltuples > 0 OR (c.reltuples = 0 AND c.relpages > 0)) AS reltuples
    FROM family AS f
    JOIN pg_catalog.pg_class AS c ON c.oid = f.member
    WHERE c.relkind <> 'p'
    GROUP BY f.root
)
SELECT
    c.oid::bigint AS id,
    n.nspname::text AS schema,
    c.relname::text AS name,
    CASE c.relkind
        WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'view' WHEN 'm' THEN 'matview' ELSE 'foreign'
    END AS kind,
    -- Never analysed is -1 since PostgreSQL 14, and 0 rows on 0 pages before.
    CASE
        WHEN c.relkind = 'v' THEN NULL
        WHEN c.relkind = 'p' THEN l.reltuples::bigint
        WHEN c.reltuples < 0 OR (c.reltuples = 0 AND c.relpages = 0) THEN NULL
        ELSE c.reltuples::bigint
    END AS row_estimate,
    pg_catalog.obj_description(c.oid, 'pg_class') AS comment
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN leaves AS l ON l.root = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\_%'
  AND n.nspname <> 'information_schema'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
ORDER BY n.nspname, c.relname;
