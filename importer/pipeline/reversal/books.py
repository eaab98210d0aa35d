"""Books: external references go and come with their targets, and each record learns what came of it (R21)."""

from __future__ import annotations

# References are kept as they were, so that an undo leaves them exactly so.
REMEMBER = """
    UPDATE pg_temp.work w SET refs = x.refs FROM (
        SELECT w.key, json_agg(e) AS refs FROM pg_temp.work w JOIN external_refs e ON e.target_id = w.target_id
        WHERE w.fate IN ('remove', 'restore') GROUP BY w.key) x WHERE x.key = w.key
"""
FORGET = """
    DELETE FROM external_refs e USING pg_temp.work w WHERE w.fate = 'remove' AND e.target_id = w.target_id
"""
# A row whose hash is not known is compared again by the next import: it may bring the value back.
COMPARE_AGAIN = """
    UPDATE external_refs e SET source_hash = NULL FROM pg_temp.work w
    WHERE w.fate = 'restore' AND e.target_id = w.target_id AND e.source_hash IS NOT NULL
"""
LINK_AGAIN = """
    INSERT INTO external_refs SELECT o.* FROM pg_temp.work w
    CROSS JOIN LATERAL json_populate_recordset(NULL::external_refs, w.refs) o WHERE w.fate = 'insert'
    ON CONFLICT (entity_id, external_id) DO NOTHING
"""
KNOWN_AGAIN = """
    UPDATE external_refs e SET source_hash = o.source_hash FROM pg_temp.work w
    CROSS JOIN LATERAL json_populate_recordset(NULL::external_refs, w.refs) o
    WHERE w.fate = 'restore' AND e.entity_id = o.entity_id AND e.external_id = o.external_id
      AND e.target_id = o.target_id AND e.source_hash IS NULL
"""
# Of several records of one target each has its own fields: the bucket is that of the fields in question.
NOTE = """
    WITH told AS (
        UPDATE importer_reversal v SET judged_at = clock_timestamp(), code = f.code, bucket = f.bucket,
            written = f.written, restored = f.restored, kept = f.kept, details = f.details,
            refs = CASE WHEN f.place = 1 THEN f.refs::jsonb END,
            touched = CASE WHEN f.place = 1 THEN f.touched END
        FROM (
            SELECT v.id, row_number() OVER (PARTITION BY v.key ORDER BY v.id) AS place, w.refs, w.touched, p.restored, p.kept,
                CASE WHEN w.is_new THEN coalesce(w.fate IN ('remove', 'insert'), false)
                     ELSE w.fate = 'restore' AND p.restored <> '{}' END IS TRUE AS written,
                CASE WHEN w.code = 'edited' AND NOT w.is_new AND p.kept = '{}' THEN '' ELSE w.code END AS code,
                CASE WHEN w.code = 'edited' AND NOT w.is_new AND p.kept = '{}' THEN 'reversed' ELSE w.bucket END AS bucket,
                nullif(jsonb_strip_nulls(jsonb_build_object('dependants', CASE WHEN w.code = 'dependants' THEN w.dependants END,
                    'jobs', CASE w.code WHEN 'later_job' THEN to_jsonb(w.jobs)
                        WHEN 'imported_again' THEN to_jsonb(ARRAY[w.taken_by]) END)), '{}') AS details
            FROM importer_reversal v JOIN pg_temp.work w ON w.key = v.key
            CROSS JOIN LATERAL (SELECT
                CASE WHEN w.fate = 'restore' THEN array(SELECT f FROM unnest(w.todo) f WHERE f = ANY(v.fields)) END AS restored,
                CASE WHEN w.code = 'target_deleted' THEN v.fields WHEN w.bucket <> 'kept_edited' THEN '{}' WHEN w.is_new THEN w.changed
                     ELSE array(SELECT f FROM unnest(w.changed) f WHERE f = ANY(v.fields)) END AS kept) p
            WHERE v.run_id = %(run)s
        ) f WHERE v.id = f.id RETURNING v.bucket
    ) SELECT bucket, count(*) FROM told GROUP BY 1
"""
REFUSED = """
    UPDATE importer_reversal v SET judged_at = clock_timestamp(), bucket = %(bucket)s, code = %(code)s, written = false,
        restored = NULL, kept = NULL, refs = NULL, touched = NULL, details = jsonb_build_object('message', %(message)s::text)
    WHERE v.run_id = %(run)s AND v.key > coalesce(%(lo)s::text, '') AND v.key <= %(hi)s::text
"""
UNDONE = """
    UPDATE importer_reversal u SET undone_at = clock_timestamp() FROM importer_reversal v JOIN pg_temp.work w ON w.key = v.key
    WHERE v.run_id = %(run)s AND v.bucket IN ('reversed', 'kept_edited') AND u.record_id = v.record_id
      AND u.run_id IN (SELECT q.id FROM importer_queryrun q WHERE q.job_id = %(undoes)s)
"""
