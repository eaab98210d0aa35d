-- Foreign keys, column lists as JSON in the order of the key. Runs on PostgreSQL 10 and newer.
SELECT
    k.conrelid::bigint AS table_id,
    k.conname::text AS name,
    rn.nspname::text AS ref_schema,
    r.relname::text AS ref_table,
    (SELECT json_agg(a.attname ORDER BY p.position)
     FROM unnest(k.conkey) WITH ORDINALITY AS p (number, position)
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.number)::text AS columns,
    (SELECT json_agg(a.attname ORDER BY p.position)
     FROM unnest(k.confkey) WITH ORDINALITY AS p (number, position)
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.number)::text AS ref_columns
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS r ON r.oid = k.confrelid
JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE k.contype = 'f'
  AND NOT c.relispartition
  AND NOT r.relispartition -- a key to a partitioned table has clones for its partitions
  AND n.nspname NOT LIKE 'pg\_%'
ORDER BY k.conrelid, k.conname;
