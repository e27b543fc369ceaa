-- The head is nobody's to keep: a process that stands still while it holds it is ended (DESIGN "The ledger", rule 5).

-- A session that has begun a batch and waits for its client, for the rest of the batch or for room for its answer, is under none of
-- the role's timeouts: those cover statements, waits for locks and sessions that were told to go on. Here it is known by its
-- waiting for its client while it has the head, by the same message half a second ago and now. Ending it rolls its batch back;
-- its process finds out what became of it when it goes on.
CREATE FUNCTION ledger.free_head() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended integer := 0;
    holder record;
BEGIN
    FOR holder IN
        SELECT DISTINCT a.pid, a.query_start FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'relation' AND l.relation = 'ledger.head'::regclass AND l.mode IN ('RowShareLock', 'RowExclusiveLock') AND a.datname = current_database()
           AND a.wait_event_type = 'Client' AND a.query_start < clock_timestamp() - interval '400 ms' AND pg_has_role(a.usesysid, 'USAGE')
    LOOP
        PERFORM pg_sleep(0.1);
        PERFORM pg_stat_clear_snapshot();
        IF EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = holder.pid AND a.query_start = holder.query_start AND a.wait_event_type = 'Client') THEN
            PERFORM pg_terminate_backend(holder.pid);
            ended := ended + 1;
        END IF;
    END LOOP;
    RETURN ended;
END $$;

-- Proof of life. Never waits for a lock: a locked head means somebody is appending, unless that takes too long.
CREATE OR REPLACE FUNCTION ledger.advance_beat() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM ledger.head WHERE beat_at < clock_timestamp() - interval '500 ms' FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE ledger.head SET beat = beat + 1, beat_at = clock_timestamp();
    ELSIF EXISTS (SELECT 1 FROM ledger.head WHERE beat_at < clock_timestamp() - interval '750 ms') THEN
        PERFORM ledger.free_head();
    END IF;
    RETURN clock_timestamp();
END $$;

REVOKE ALL ON FUNCTION ledger.free_head() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.free_head() TO claw_issuer;
