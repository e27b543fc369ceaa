-- Policy and control plane: mapped by EF Core (PolicyContext, ControlContext), written only by the ledger's append path
-- wherever a condition of a mint reads it (DESIGN "The ledger", rule 3).

CREATE SCHEMA policy;
CREATE SCHEMA control;
CREATE SCHEMA audit;

CREATE TABLE policy.versions (
    version     text        PRIMARY KEY,
    seq         bigint      NOT NULL UNIQUE,       -- the act that put it; the highest is the current one
    document    bytea       NOT NULL,              -- canonical JSON
    policy_hash bytea       NOT NULL CHECK (length(policy_hash) = 32),
    put_by      text        NOT NULL,
    put_at      timestamptz NOT NULL
);

CREATE TABLE control.controllers (
    controller_did text        PRIMARY KEY,
    owner_did      text        NOT NULL,
    active         boolean     NOT NULL,
    frozen         boolean     NOT NULL,           -- transfer_pending: neither mints nor mutates
    policy_hash    text,
    seq            bigint      NOT NULL,           -- the act that wrote this state
    changed_at     timestamptz NOT NULL
);
CREATE INDEX controllers_owner_did ON control.controllers (owner_did);      -- serves: an owner's list of controllers

CREATE TABLE control.challenges (
    challenge_id text        PRIMARY KEY,
    purpose      text        NOT NULL,
    owner_did    text        NOT NULL,
    message      text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    consumed_seq bigint                            -- null until the one act that used it
);
CREATE INDEX challenges_expires_at ON control.challenges (expires_at);      -- serves: dropping the expired

GRANT USAGE ON SCHEMA policy, control TO claw_issuer;
GRANT SELECT ON ALL TABLES IN SCHEMA policy, control TO claw_issuer;
GRANT INSERT ON policy.versions, control.controllers, control.challenges TO claw_issuer;
GRANT UPDATE ON control.controllers, control.challenges TO claw_issuer;
GRANT DELETE ON control.challenges TO claw_issuer;
GRANT USAGE, CREATE ON SCHEMA audit TO claw_audit;
