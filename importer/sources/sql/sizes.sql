-- Bytes on disk with indexes and TOAST, partitions added up. Waits for tables that are locked exclusively.
WITH RECURSIVE family AS (
    SELECT c.oid AS root, c.oid AS member
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm')
      AND NOT c.relispartition
      AND n.nspname NOT LIKE 'pg\_%'
      AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT f.root, i.inhrelid
    FROM family AS f
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = f.member
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition
)
SELECT f.root::bigint AS table_id, sum(pg_catalog.pg_total_relation_size(f.member))::bigint AS size_bytes
FROM family AS f
GROUP BY f.root;
