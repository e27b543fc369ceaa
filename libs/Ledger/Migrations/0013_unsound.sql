-- Asked by every batch and every poll. A function in SQL is parsed and planned anew each time (a seventh of a millisecond, several times what a
-- poll costs); PL/pgSQL keeps its plans, and these expressions need none.
CREATE OR REPLACE FUNCTION ledger.unsound(h ledger.head) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF h.needs_recovery IS NOT NULL THEN
        RETURN h.needs_recovery;
    ELSIF pg_catalog.pg_is_in_recovery() THEN
        RETURN NULL;
    ELSIF h.system_identifier <> (pg_catalog.pg_control_system()).system_identifier THEN
        RETURN 'the database stands on another cluster than its epoch was opened on';
    ELSIF h.timeline <> ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint THEN
        RETURN 'the database stands on another timeline than its epoch was opened on';
    END IF;
    RETURN NULL;
END $$;
