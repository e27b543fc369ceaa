-- The ledger: one dense, commit-ordered table of acts (DESIGN "The ledger") and the projections that its conditions read.
-- Runs as claw_migrator, which owns everything here. Roles and their timeouts: Roles.sql.

CREATE SCHEMA ledger;

-- The one serial point. Whoever appends locks this row first, in a statement of its own, and keeps it until commit:
-- that makes the order of seq, of commit and of visibility one order.
CREATE TABLE ledger.head (
    one             boolean     PRIMARY KEY DEFAULT true CHECK (one),
    epoch           uuid        NOT NULL,
    seq             bigint      NOT NULL CHECK (seq >= 0),
    revocation_seq  bigint      NOT NULL CHECK (revocation_seq >= 0),
    control_seq     bigint      NOT NULL CHECK (control_seq >= 0),  -- grows with every act that can deny a mint
    max_iat         bigint      NOT NULL CHECK (max_iat >= 0),      -- latest iat ever recorded, epoch seconds
    beat            bigint      NOT NULL CHECK (beat >= 0),         -- proof of life: a primary nobody can write to stops beating
    beat_at         timestamptz NOT NULL
) WITH (fillfactor = 10);                                           -- room for HOT updates: the row changes with every batch
INSERT INTO ledger.head VALUES (true, gen_random_uuid(), 0, 0, 0, 0, 0, clock_timestamp());

-- Every durable act, once. Rows are never updated; they leave only as a prefix.
CREATE TABLE ledger.events (
    seq            bigint      NOT NULL CHECK (seq > 0),
    batch_id       uuid        NOT NULL,
    ordinal        integer     NOT NULL,            -- the act's place in its batch: how an unknown outcome is resolved per act
    kind           smallint    NOT NULL,            -- EventKind
    recorded_at    timestamptz NOT NULL,
    token_hash     bytea       CHECK (length(token_hash) = 32),
    subject        text,
    mission_id     text,
    run_id         text,
    trace_id       text,
    correlation_id text,
    payload        bytea       NOT NULL,            -- canonical JSON, as hashed and audited; never re-serialised
    PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);

-- What became of a batch whose answer was lost. A resolver that finds no row writes one itself (abandoned), so that a
-- batch still on its way fails on the primary key instead of committing after its callers were told otherwise.
CREATE TABLE ledger.batches (
    batch_id    uuid        PRIMARY KEY,
    abandoned   boolean     NOT NULL,
    first_seq   bigint      NOT NULL,               -- head.seq + 1 when the batch began
    recorded_at timestamptz NOT NULL
);
CREATE INDEX batches_recorded_at ON ledger.batches (recorded_at);   -- serves: ledger.prune

-- Tokens that have not expired: what a revocation by hash or jti resolves against.
CREATE TABLE ledger.issued (
    token_hash bytea  PRIMARY KEY CHECK (length(token_hash) = 32),
    jti        text   NOT NULL UNIQUE,
    seq        bigint NOT NULL,
    iat        bigint NOT NULL,
    exp        bigint NOT NULL,
    kid        text   NOT NULL,
    owner_did  text
);
CREATE INDEX issued_exp ON ledger.issued (exp);                     -- serves: ledger.prune

-- One row per caller and idempotency key until the token it made expires. The signed payload, not the token: signing it
-- again gives the same token (Ed25519 is deterministic), and no token stands in the database.
CREATE TABLE ledger.idempotency (
    caller          text   NOT NULL,
    idempotency_key text   NOT NULL,
    request_hash    bytea  NOT NULL CHECK (length(request_hash) = 32),
    kid             text   NOT NULL,
    signed_payload  bytea  NOT NULL,
    policy_tier     text   NOT NULL,
    policy_version  text   NOT NULL,
    seq             bigint NOT NULL,
    exp             bigint NOT NULL,
    PRIMARY KEY (caller, idempotency_key)
);
CREATE INDEX idempotency_exp ON ledger.idempotency (exp);           -- serves: ledger.prune

-- The feed: dense in revocation_seq, which is what watchers count by.
CREATE TABLE ledger.revocations (
    revocation_seq bigint      PRIMARY KEY CHECK (revocation_seq > 0),
    seq            bigint      NOT NULL UNIQUE,
    kind           smallint    NOT NULL,            -- RevocationKind
    effect         smallint    NOT NULL CHECK (effect IN (1, 2)),   -- 1 revoke or block, 2 lift
    token_hash     bytea       CHECK (length(token_hash) = 32),
    jti            text,
    group_key      bytea       CHECK (length(group_key) = 32),      -- SHA-256 of (kind, owner scope, value), never the value
    cut            bigint,                          -- groups lifted at least once: tokens with iat <= cut stay dead, epoch seconds
    expires_at     timestamptz,                     -- token kinds: the token's exp, or a bound where it is not known
    revoked_at     timestamptz NOT NULL,
    reason         text,
    CHECK ((group_key IS NULL) = (kind = 1)),
    CHECK (kind <> 1 OR token_hash IS NOT NULL OR jti IS NOT NULL)
);

-- Live token revocations: the condition "not revoked" and the snapshot read these.
CREATE TABLE ledger.revoked_tokens (
    revocation_seq bigint      PRIMARY KEY,
    seq            bigint      NOT NULL,
    token_hash     bytea       UNIQUE,
    jti            text        UNIQUE,
    expires_at     timestamptz NOT NULL,
    revoked_at     timestamptz NOT NULL,
    revoked_by     text        NOT NULL,
    reason         text
);
CREATE INDEX revoked_tokens_expires_at ON ledger.revoked_tokens (expires_at);   -- serves: ledger.prune

-- Blocks and the cuts that lifting leaves. A row stays for ever: a cut must outlive every token it denies.
CREATE TABLE ledger.blocked_groups (
    kind           smallint    NOT NULL,
    group_key      bytea       NOT NULL CHECK (length(group_key) = 32),
    blocked        boolean     NOT NULL,
    cut            bigint      NOT NULL DEFAULT 0,
    revocation_seq bigint      NOT NULL,
    seq            bigint      NOT NULL,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (kind, group_key)
);

-- The issuer's keys as the ledger knows them: what signs, what is accepted, until when.
CREATE TABLE ledger.keys (
    kid        text     PRIMARY KEY,
    public_key bytea    NOT NULL CHECK (length(public_key) = 32),
    state      smallint NOT NULL CHECK (state BETWEEN 0 AND 3),     -- KeyState: next, active, verify-only, retired
    not_after  bigint,                                              -- epoch seconds, inclusive
    is_foreign boolean  NOT NULL,                                   -- verify-only and never signed here
    seq        bigint   NOT NULL
);

-- Partitions of events ahead of need. Serving roles may not create tables; they may call this.
CREATE FUNCTION ledger.extend_events(through bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    width constant bigint := 16777216;
    n bigint;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ledger.extend_events'));
    FOR n IN 0 .. through / width LOOP
        name := 'events_' || lpad(n::text, 6, '0');
        CONTINUE WHEN to_regclass('ledger.' || name) IS NOT NULL;
        -- LIKE and ATTACH, not PARTITION OF: the latter would lock out every reader and writer of the parent.
        EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.events INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE ledger.events ATTACH PARTITION ledger.%I FOR VALUES FROM (%s) TO (%s)', name, n * width, (n + 1) * width);
    END LOOP;
END $$;
SELECT ledger.extend_events(0);

-- Proof of life. Never waits: a locked head means somebody is appending.
CREATE FUNCTION ledger.advance_beat() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM ledger.head WHERE beat_at < clock_timestamp() - interval '500 ms' FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE ledger.head SET beat = beat + 1, beat_at = clock_timestamp();
    END IF;
    RETURN clock_timestamp();
END $$;

-- Drops what can no longer change an answer, in small bites. Revocations stay 24 h beyond their token's expiry.
CREATE FUNCTION ledger.prune(bite integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_sec constant bigint := extract(epoch FROM clock_timestamp())::bigint;
    total bigint := 0;
    n bigint;
BEGIN
    DELETE FROM ledger.issued WHERE token_hash IN (SELECT token_hash FROM ledger.issued WHERE exp < now_sec - 86400 ORDER BY exp LIMIT bite);
    GET DIAGNOSTICS n = ROW_COUNT; total := total + n;
    DELETE FROM ledger.idempotency WHERE (caller, idempotency_key) IN
        (SELECT caller, idempotency_key FROM ledger.idempotency WHERE exp < now_sec ORDER BY exp LIMIT bite);
    GET DIAGNOSTICS n = ROW_COUNT; total := total + n;
    DELETE FROM ledger.revoked_tokens WHERE revocation_seq IN
        (SELECT revocation_seq FROM ledger.revoked_tokens WHERE expires_at < clock_timestamp() - interval '24 hours' ORDER BY expires_at LIMIT bite);
    GET DIAGNOSTICS n = ROW_COUNT; total := total + n;
    DELETE FROM ledger.batches WHERE batch_id IN
        (SELECT batch_id FROM ledger.batches WHERE recorded_at < clock_timestamp() - interval '1 hour' ORDER BY recorded_at LIMIT bite);
    GET DIAGNOSTICS n = ROW_COUNT; total := total + n;
    RETURN total;
END $$;

REVOKE ALL ON FUNCTION ledger.extend_events(bigint), ledger.advance_beat(), ledger.prune(integer) FROM PUBLIC;

GRANT USAGE ON SCHEMA ledger TO claw_issuer, claw_introspector;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO claw_issuer;
GRANT UPDATE ON ledger.head TO claw_issuer;
GRANT INSERT ON ledger.events, ledger.batches, ledger.issued, ledger.idempotency, ledger.revocations,
    ledger.revoked_tokens, ledger.blocked_groups, ledger.keys TO claw_issuer;
GRANT UPDATE ON ledger.idempotency, ledger.blocked_groups, ledger.keys TO claw_issuer;
GRANT EXECUTE ON FUNCTION ledger.extend_events(bigint), ledger.advance_beat(), ledger.prune(integer) TO claw_issuer;

GRANT SELECT ON ledger.head, ledger.issued, ledger.revocations, ledger.revoked_tokens, ledger.blocked_groups, ledger.keys TO claw_introspector;
GRANT EXECUTE ON FUNCTION ledger.advance_beat() TO claw_introspector;
