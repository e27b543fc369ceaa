-- The audit log (DESIGN "Audit log"): one RFC 6962 tree over the events of every source. Written by the AuditSink alone, as
-- claw_audit, which may add to it and advance its counters, and nothing else. It may stand in a database of its own.

REVOKE CREATE ON SCHEMA audit FROM claw_audit;

-- The one serial point: whoever appends moves it from the size and root he built on, or not at all.
CREATE TABLE audit.head (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    size       bigint      NOT NULL CHECK (size >= 0),
    root       bytea       NOT NULL CHECK (length(root) = 32),
    frontier   bytea       NOT NULL CHECK (length(frontier) % 32 = 0),  -- roots of the complete subtrees, largest first
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit.head VALUES (true, 0, sha256(''), '', clock_timestamp());

-- How far the log has each source. One row an epoch: the ledger's epochs follow one another, a volatile source draws one at
-- each start.
CREATE TABLE audit.cursors (
    source            text        NOT NULL,
    epoch             uuid        NOT NULL,
    last_seq          bigint      NOT NULL,
    last_leaf         bytea       NOT NULL CHECK (length(last_leaf) = 32),
    previous_epoch    uuid,                         -- the epoch that this one continues, and where
    previous_last_seq bigint,
    closed            boolean     NOT NULL DEFAULT false,
    opened_at         timestamptz NOT NULL,
    PRIMARY KEY (source, epoch),
    CHECK ((previous_epoch IS NULL) = (previous_last_seq IS NULL))
) WITH (fillfactor = 10);
CREATE UNIQUE INDEX cursors_ledger ON audit.cursors (source) WHERE source = 'ledger' AND NOT closed;    -- serves: the ledger has one epoch at a time

-- What is in the tree, a row per run of events of one source: index of the i-th is first_index + i, its seq first_seq + i.
CREATE TABLE audit.runs (
    first_index bigint      NOT NULL CHECK (first_index >= 0),
    n           integer     NOT NULL CHECK (n BETWEEN 1 AND 4096),
    source      text        NOT NULL,
    epoch       uuid        NOT NULL,
    first_seq   bigint      NOT NULL,
    earliest    timestamptz NOT NULL,               -- of recorded_at
    latest      timestamptz NOT NULL,
    leaf_hashes bytea       NOT NULL,
    leaves      bytea       NOT NULL,               -- an entry bundle (C2SP tlog-tiles): each leaf behind its length, u16 big-endian
    PRIMARY KEY (first_index),
    CHECK (length(leaf_hashes) = 32 * n),
    CHECK (first_index / 16777216 = (first_index + n - 1) / 16777216)
) PARTITION BY RANGE (first_index);
CREATE INDEX runs_position ON audit.runs (source, epoch, first_seq);    -- serves: an event by its place in its source
CREATE INDEX runs_latest ON audit.runs (latest);                        -- serves: the list by time

-- What the leaves commit to, and what entries are found by: beside the tree, so that it can be erased without touching it.
CREATE TABLE audit.payloads (
    first_index bigint NOT NULL,
    salts       bytea  NOT NULL,                    -- 32 bytes an event; commitment = SHA-256(salt || payload)
    payloads    bytea  NOT NULL,                    -- each behind its length, u32 big-endian
    keys        bytea  NOT NULL,                    -- clawbureau.audit.v1.EventKeys, each behind its length, u32 big-endian
    PRIMARY KEY (first_index)
) PARTITION BY RANGE (first_index);

-- Full hash tiles (C2SP tlog-tiles). Partial ones are prefixes of these to be, and come from runs and lower tiles.
CREATE TABLE audit.tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 63),
    idx    bigint   NOT NULL CHECK (idx >= 0),
    hashes bytea    NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, idx)
);

-- Search by what entries are about, built behind the log: the first 8 bytes of SHA-256 of field and value, and the run to look into.
CREATE TABLE audit.lookup (
    key         bigint NOT NULL,
    first_index bigint NOT NULL,
    PRIMARY KEY (key, first_index)
);
CREATE TABLE audit.lookup_cursor (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    next_index bigint  NOT NULL CHECK (next_index >= 0)
) WITH (fillfactor = 10);
INSERT INTO audit.lookup_cursor VALUES (true, 0);

-- Bytes that are dense or read whole: not worth compressing.
ALTER TABLE audit.runs ALTER COLUMN leaf_hashes SET STORAGE EXTERNAL, ALTER COLUMN leaves SET STORAGE EXTERNAL;
ALTER TABLE audit.payloads ALTER COLUMN salts SET STORAGE EXTERNAL, ALTER COLUMN payloads SET STORAGE EXTERNAL, ALTER COLUMN keys SET STORAGE EXTERNAL;
ALTER TABLE audit.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- A second fence behind the grants, for whoever connects with more than them.
CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING errcode = '42501', message = format('%s.%s is only ever added to', tg_table_schema, tg_table_name);
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.runs FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.tiles FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();

-- 40001: somebody else appended first; what is known here is old and has to be read again.
CREATE FUNCTION audit.advance(from_size bigint, from_root bytea, to_size bigint, to_root bytea, to_frontier bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE audit.head SET size = to_size, root = to_root, frontier = to_frontier, updated_at = clock_timestamp() WHERE size = from_size AND root = from_root;
    IF NOT FOUND THEN RAISE EXCEPTION USING errcode = '40001', message = 'AUDIT_FENCED'; END IF;
END $$;

-- from_seq null: the source's first events of this epoch. With continues, the ledger's epoch before it is closed.
CREATE FUNCTION audit.move_cursor(of_source text, of_epoch uuid, from_seq bigint, to_seq bigint, to_leaf bytea, continues uuid, continues_at bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF from_seq IS NOT NULL THEN
        UPDATE audit.cursors SET last_seq = to_seq, last_leaf = to_leaf WHERE source = of_source AND epoch = of_epoch AND last_seq = from_seq AND NOT closed;
        IF NOT FOUND THEN RAISE EXCEPTION USING errcode = '40001', message = 'AUDIT_CURSOR_MOVED'; END IF;
        RETURN;
    END IF;
    IF continues IS NOT NULL THEN
        UPDATE audit.cursors SET closed = true WHERE source = of_source AND epoch = continues AND NOT closed;
        IF NOT FOUND THEN RAISE EXCEPTION USING errcode = '40001', message = 'AUDIT_CURSOR_MOVED'; END IF;
    END IF;
    INSERT INTO audit.cursors (source, epoch, last_seq, last_leaf, previous_epoch, previous_last_seq, opened_at)
    VALUES (of_source, of_epoch, to_seq, to_leaf, continues, continues_at, clock_timestamp());
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING errcode = '40001', message = 'AUDIT_CURSOR_MOVED';
END $$;

-- Partitions ahead of need, each 2^24 entries: exactly one tile of level 2, so that none is cut by a boundary.
CREATE FUNCTION audit.extend(through bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    width constant bigint := 16777216;
    parent text;
    n bigint;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit.extend'));
    FOREACH parent IN ARRAY ARRAY['runs', 'payloads'] LOOP
        FOR n IN 0 .. through / width LOOP
            name := parent || '_' || lpad(n::text, 6, '0');
            CONTINUE WHEN to_regclass('audit.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE audit.%I (LIKE audit.%I INCLUDING ALL)', name, parent);
            EXECUTE format('ALTER TABLE audit.%I ATTACH PARTITION audit.%I FOR VALUES FROM (%s) TO (%s)', parent, name, n * width, (n + 1) * width);
        END LOOP;
    END LOOP;
END $$;
SELECT audit.extend(0);

REVOKE ALL ON FUNCTION audit.refuse_change(), audit.advance(bigint, bytea, bigint, bytea, bytea),
    audit.move_cursor(text, uuid, bigint, bigint, bytea, uuid, bigint), audit.extend(bigint) FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO claw_audit;
GRANT INSERT ON audit.cursors, audit.runs, audit.payloads, audit.tiles, audit.lookup TO claw_audit;
GRANT UPDATE (size, root, frontier, updated_at) ON audit.head TO claw_audit;
GRANT UPDATE (last_seq, last_leaf, closed) ON audit.cursors TO claw_audit;
GRANT UPDATE (next_index) ON audit.lookup_cursor TO claw_audit;
GRANT EXECUTE ON FUNCTION audit.advance(bigint, bytea, bigint, bytea, bytea), audit.move_cursor(text, uuid, bigint, bigint, bytea, uuid, bigint),
    audit.extend(bigint) TO claw_audit;

-- The other end, in the ledger: which Issuer relays at the moment, and how far the sink is known to have everything durably.
-- Events may leave ledger.events only up to there.
CREATE TABLE ledger.relay (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    holder     uuid,                                -- a lease: others may take it once it has run out
    held_until timestamptz NOT NULL,
    epoch      uuid,
    acked_seq  bigint      NOT NULL CHECK (acked_seq >= 0),
    acked_at   timestamptz
) WITH (fillfactor = 10);
INSERT INTO ledger.relay VALUES (true, NULL, '-infinity', NULL, 0, NULL);
GRANT SELECT, UPDATE ON ledger.relay TO claw_issuer;
