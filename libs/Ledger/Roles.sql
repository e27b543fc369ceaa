-- Cluster-wide, so idempotent and safe against a second migrator in another database. Passwords are not set here.
-- The timeouts bound how long a paused process can hold the head (DESIGN, rule 5): nobody waits longer than 2 s for it.
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['claw_migrator', 'claw_issuer', 'claw_introspector', 'claw_audit'] LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r);
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', r);
            IF r <> 'claw_migrator' THEN
                EXECUTE format('ALTER ROLE %I SET statement_timeout = ''2s''', r);
                EXECUTE format('ALTER ROLE %I SET lock_timeout = ''1500ms''', r);
                EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''1s''', r);
                EXECUTE format('ALTER ROLE %I SET tcp_user_timeout = ''2s''', r);
                EXECUTE format('ALTER ROLE %I SET synchronous_commit = ''on''', r);
                -- batches are small: compiling a plan costs a thousand times its work
                EXECUTE format('ALTER ROLE %I SET jit = ''off''', r);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;   -- another migrator was faster
        END;
    END LOOP;
    -- so that ledger.free_head, which is the migrator's, may end an Issuer's session
    BEGIN
        IF NOT pg_has_role('claw_migrator', 'claw_issuer', 'USAGE') THEN GRANT claw_issuer TO claw_migrator; END IF;
    EXCEPTION WHEN unique_violation THEN
        NULL;
    END;
END $$;
