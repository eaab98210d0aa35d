-- Indexes, key columns as JSON in the order of the index, null for an expression. PostgreSQL 10 and newer.
SELECT
    i.indrelid::bigint AS table_id,
    x.relname::text AS name,
    i.indisprimary AS is_primary,
    -- A partial index says nothing about the rows outside of it.
    i.indisunique AND i.indisvalid AND i.indpred IS NULL AS is_unique,
    (SELECT json_agg(a.attname ORDER BY p.position)
     FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p (number, position)
     LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = p.number AND p.number > 0
     -- indnkeyatts is new in 11; by way of JSON the query also runs where it is missing.
     WHERE p.position <= coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts))::text AS columns
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
  AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\_%'
ORDER BY i.indrelid, x.relname;
