-- Recognising a ledger that was restored, failed over or rolled back, and opening its next epoch (DESIGN "Epoch").

-- Where the epoch was opened: what stands under another system identifier or on another timeline is not known to be all of it.
ALTER TABLE ledger.head ADD COLUMN system_identifier bigint;
ALTER TABLE ledger.head ADD COLUMN timeline bigint;
-- Why nothing is served until `claw ledger recover`; null while there is no reason.
ALTER TABLE ledger.head ADD COLUMN needs_recovery text;
UPDATE ledger.head SET system_identifier = (SELECT c.system_identifier FROM pg_control_system() c),
                       timeline = ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
ALTER TABLE ledger.head ALTER COLUMN system_identifier SET NOT NULL, ALTER COLUMN timeline SET NOT NULL;

-- The epochs that recovery opened, each with the one it continues and where that ended.
CREATE TABLE ledger.recoveries (
    epoch             uuid        PRIMARY KEY,
    previous_epoch    uuid        NOT NULL UNIQUE,
    previous_last_seq bigint      NOT NULL CHECK (previous_last_seq >= 0),  -- the new epoch's first act has the next number
    revoked_all       boolean     NOT NULL,
    recovered_at      timestamptz NOT NULL
);

-- What followers of a ledger that lost revocations still know: told by them as soon as they notice, made to hold again by recovery.
CREATE TABLE ledger.remembered (
    epoch          uuid        NOT NULL,
    revocation_seq bigint      NOT NULL,
    kind           smallint    NOT NULL,
    token_hash     bytea       CHECK (length(token_hash) = 32),
    jti            text,
    group_key      bytea       CHECK (length(group_key) = 32),
    blocked        boolean     NOT NULL,
    cut            bigint      NOT NULL,
    expires_at     timestamptz,
    PRIMARY KEY (epoch, revocation_seq)
);

-- Null: acts and answers may rest on this ledger. Otherwise why not. A standby is nobody's primary and told apart elsewhere.
CREATE FUNCTION ledger.unsound(h ledger.head) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN h.needs_recovery IS NOT NULL THEN h.needs_recovery
        WHEN pg_catalog.pg_is_in_recovery() THEN NULL
        WHEN h.system_identifier <> (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c) THEN 'the database stands on another cluster than its epoch was opened on'
        WHEN h.timeline <> ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
            THEN 'the database stands on another timeline than its epoch was opened on'
    END
$$;

-- Ends a batch that would stand on such a ledger, or on one that has lost what its writer recorded before. The head is locked by then.
CREATE FUNCTION ledger.require_sound(h ledger.head, known_epoch uuid, known_seq bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE why text := ledger.unsound(h);
BEGIN
    IF why IS NULL AND h.epoch = known_epoch AND h.seq < known_seq THEN why := format('act %s was recorded, and the ledger ends with %s', known_seq, h.seq); END IF;
    IF why IS NOT NULL THEN RAISE EXCEPTION USING errcode = 'LR001', message = why; END IF;
    RETURN true;
END $$;

-- For whoever saw a number go back within an epoch: from then on nobody is served, whichever process he asks.
CREATE FUNCTION ledger.report_loss(of_epoch uuid, known_seq bigint, known_revocation_seq bigint, known_beat bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ledger.head SET needs_recovery = format('seq %s, revocation %s was read, and the ledger ends with seq %s, revocation %s', known_seq, known_revocation_seq, seq, revocation_seq)
     WHERE epoch = of_epoch AND needs_recovery IS NULL AND (seq < known_seq OR revocation_seq < known_revocation_seq OR beat < known_beat)
$$;

CREATE FUNCTION ledger.remember(of_epoch uuid, seqs bigint[], kinds smallint[], hashes bytea[], jtis text[], groups bytea[], blocks boolean[], cuts bigint[], ends timestamptz[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO ledger.remembered (epoch, revocation_seq, kind, token_hash, jti, group_key, blocked, cut, expires_at)
    SELECT of_epoch, u.* FROM unnest(seqs, kinds, hashes, jtis, groups, blocks, cuts, ends) u
     WHERE EXISTS (SELECT 1 FROM ledger.head h WHERE h.epoch = of_epoch)
    ON CONFLICT DO NOTHING
$$;

REVOKE ALL ON FUNCTION ledger.unsound(ledger.head), ledger.require_sound(ledger.head, uuid, bigint), ledger.report_loss(uuid, bigint, bigint, bigint),
    ledger.remember(uuid, bigint[], smallint[], bytea[], text[], bytea[], boolean[], bigint[], timestamptz[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.unsound(ledger.head), ledger.report_loss(uuid, bigint, bigint, bigint) TO claw_issuer, claw_introspector;
GRANT EXECUTE ON FUNCTION ledger.require_sound(ledger.head, uuid, bigint) TO claw_issuer;
GRANT EXECUTE ON FUNCTION ledger.remember(uuid, bigint[], smallint[], bytea[], text[], bytea[], boolean[], bigint[], timestamptz[]) TO claw_introspector;
GRANT SELECT ON ledger.recoveries TO claw_issuer, claw_introspector;
