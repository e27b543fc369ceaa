-- Keys: rotation as the ledger states it, and the signed, chained history of what was accepted (DESIGN "Keys").

ALTER TABLE ledger.keys
    ADD COLUMN can_sign     boolean NOT NULL DEFAULT false,    -- an issuer holds the private part and may come to sign with it
    ADD COLUMN revoked      boolean NOT NULL DEFAULT false,    -- retired because others may know it: what it signed is revoked
    ADD COLUMN published_at bigint,                            -- epoch seconds: first recorded
    ADD COLUMN activates_at bigint,                            -- epoch seconds: a next key whose rotation has begun
    ADD COLUMN overlap      bigint,                            -- seconds: how long the active key is accepted after it; null: as long as it must be
    ADD COLUMN place        integer NOT NULL DEFAULT 0;        -- in the configuration that named it: the order of the JWKS

UPDATE ledger.keys k SET published_at = extract(epoch FROM e.recorded_at)::bigint FROM ledger.events e WHERE e.seq = k.seq;
UPDATE ledger.keys SET can_sign = true WHERE state <= 1;
-- Earlier builds let every replica keep an active key of its own.
UPDATE ledger.keys SET state = 2 WHERE state = 1 AND seq < (SELECT max(seq) FROM ledger.keys WHERE state = 1);
CREATE UNIQUE INDEX keys_one_active ON ledger.keys ((true)) WHERE state = 1;

-- What was accepted, since when: each row signed, and naming the one before it. Nobody changes or removes one.
CREATE TABLE ledger.key_snapshots (
    number              bigint PRIMARY KEY CHECK (number > 0),
    snapshot_id         text   NOT NULL UNIQUE,
    generated_at        bigint NOT NULL,            -- epoch seconds, never less than the one before
    active_kid          text   NOT NULL,
    keys_seq            bigint NOT NULL,            -- latest change of a key that it tells of
    payload             bytea  NOT NULL,            -- as hashed and signed
    snapshot_hash       bytea  NOT NULL CHECK (length(snapshot_hash) = 32),
    signer_kid          text   NOT NULL,
    signature           bytea  NOT NULL CHECK (length(signature) = 64),
    previous_chain_hash bytea  CHECK (length(previous_chain_hash) = 32),
    chain_hash          bytea  NOT NULL CHECK (length(chain_hash) = 32),
    chain_signature     bytea  NOT NULL CHECK (length(chain_signature) = 64),
    CHECK ((previous_chain_hash IS NULL) = (number = 1))
);
CREATE INDEX key_snapshots_generated_at ON ledger.key_snapshots (generated_at);     -- serves: the suffix of a second one within a second

-- Under which names of the algorithm living tokens may be (EdDSA, Ed25519): a JWK states the name only while there is one.
CREATE TABLE ledger.jws_algs (
    alg          text   PRIMARY KEY CHECK (alg IN ('EdDSA', 'Ed25519')),
    announced_at bigint NOT NULL,                   -- epoch seconds: signing under it begins when every JWKS of before has expired
    alive_until  bigint NOT NULL                    -- epoch seconds: no token under it lives longer; moved ahead before one is signed
);

GRANT SELECT, INSERT ON ledger.key_snapshots TO claw_issuer;
GRANT SELECT, INSERT, UPDATE ON ledger.jws_algs TO claw_issuer;
INSERT INTO ledger.jws_algs SELECT 'EdDSA', extract(epoch FROM clock_timestamp())::bigint, max(exp) FROM ledger.issued HAVING max(exp) IS NOT NULL;
