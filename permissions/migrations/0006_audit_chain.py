"""The audit log refuses changes, and each entry is sealed to the one before when its transaction commits (G26).

The chain's head is one row of `audit_anchor`. It is locked by the commit only, after all other work of the
transaction, so that long acts do not queue behind each other and cannot wait for one another in a circle.
"""

from django.db import migrations

CHAIN = """
CREATE FUNCTION audit_digest(entry audit_log, previous text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(previous || jsonb_build_array(
        entry.id, extract(epoch FROM entry.timestamp), entry.user_id, entry.operation, entry.table_name, entry.job_id,
        entry.profile_id, entry.object_type, entry.object_id, entry.result, entry.details, entry.ip_address,
        entry.user_agent, entry.request_id)::text, 'UTF8')), 'hex')
$$;

CREATE FUNCTION audit_seal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE head audit_anchor; entry audit_log;
BEGIN
    INSERT INTO audit_anchor (id) VALUES (1) ON CONFLICT (id) DO NOTHING;
    SELECT * INTO head FROM audit_anchor WHERE id = 1 FOR UPDATE;
    SELECT * INTO entry FROM audit_log WHERE id = NEW.id;
    head.position := head.position + 1;
    UPDATE audit_log
        SET position = head.position, previous_hash = head.hash, hash = audit_digest(entry, head.hash)
        WHERE id = NEW.id RETURNING hash INTO head.hash;
    UPDATE audit_anchor SET position = head.position, hash = head.hash WHERE id = 1;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit_log_sealed AFTER INSERT ON audit_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_seal();

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN  -- sealing, once, and nothing else
        IF OLD.hash = '' AND to_jsonb(OLD) - '{position,previous_hash,hash}'::text[]
            = to_jsonb(NEW) - '{position,previous_hash,hash}'::text[] THEN
            RETURN NEW;
        END IF;
    ELSIF current_setting('servicevault.audit_purge', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit entries are neither changed nor removed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_log_stays_whole BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""
DROP = """
DROP TRIGGER audit_log_stays_whole ON audit_log;
DROP TRIGGER audit_log_stays ON audit_log;
DROP TRIGGER audit_log_sealed ON audit_log;
DROP FUNCTION audit_refuse();
DROP FUNCTION audit_seal();
DROP FUNCTION audit_digest(audit_log, text);
"""


class Migration(migrations.Migration):
    dependencies = [("permissions", "0005_tables_and_audit")]

    operations = [migrations.RunSQL(CHAIN, DROP)]
