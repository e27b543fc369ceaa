-- The control plane (control-plane-http.md 2): who holds which DID, which controller and agents are whose, what a challenge
-- was made for. Written by the ledger's append path; only challenges, which are no acts, are put by whoever makes them.

CREATE TABLE control.bindings (
    did            text        PRIMARY KEY,
    active         boolean     NOT NULL,           -- false: revoked, for ever
    bound_at       timestamptz NOT NULL,
    challenge_id   text        NOT NULL,           -- the one whose signature bound it
    revoked_at     timestamptz,
    revoked_reason text,
    seq            bigint      NOT NULL,           -- the act that wrote this state
    version        bigint      NOT NULL            -- the last act that concerned this DID; conditions compare it
);

-- The controller is what its agents, aliases and policy hang on: every act on one of them moves the controller's version.
ALTER TABLE control.controllers
    ALTER COLUMN policy_hash SET NOT NULL,
    ADD COLUMN registered_at               timestamptz NOT NULL,
    ADD COLUMN last_challenge_id           text        NOT NULL,
    ADD COLUMN allowed_sensitive_scopes    text[]      NOT NULL,
    ADD COLUMN policy_updated_at           timestamptz NOT NULL,
    ADD COLUMN transfer_to_owner_did       text,
    ADD COLUMN transfer_requested_at       timestamptz,
    ADD COLUMN transfer_expires_at         timestamptz,    -- frozen ends here whatever happens
    ADD COLUMN transferred_at              timestamptz,
    ADD COLUMN transferred_from_owner_did  text,
    ADD COLUMN rotated_from_did            text,
    ADD COLUMN rotation_confirmed_at       timestamptz,
    ADD COLUMN consented                   boolean     NOT NULL,   -- the controller's own DID signed its registration
    ADD COLUMN version                     bigint      NOT NULL;

CREATE TABLE control.agents (
    controller_did        text        NOT NULL,
    agent_did             text        NOT NULL,
    owner_did             text        NOT NULL,
    active                boolean     NOT NULL,
    registered_at         timestamptz NOT NULL,
    last_challenge_id     text        NOT NULL,
    policy_hash           text        NOT NULL,    -- the controller's when this record was written
    rotated_from_did      text,
    rotation_confirmed_at timestamptz,
    consented             boolean     NOT NULL,
    seq                   bigint      NOT NULL,
    PRIMARY KEY (controller_did, agent_did)
);
CREATE INDEX agents_agent_did ON control.agents (agent_did);        -- serves: who else has registered this agent

CREATE TABLE control.aliases (
    role           smallint    NOT NULL CHECK (role IN (1, 2)),     -- 1 controller, 2 agent
    controller_did text        NOT NULL,           -- agents: the controller within which it holds; controllers: empty
    from_did       text        NOT NULL,
    to_did         text        NOT NULL,
    owner_did      text        NOT NULL,
    active         boolean     NOT NULL,
    confirmed_at   timestamptz NOT NULL,
    seq            bigint      NOT NULL,
    version        bigint      NOT NULL,
    PRIMARY KEY (role, controller_did, from_did)
);
CREATE INDEX aliases_to_did ON control.aliases (role, controller_did, to_did);      -- serves: the former DIDs of a controller

CREATE TABLE control.imports (
    bundle_hash    text        PRIMARY KEY,
    controller_did text        NOT NULL,
    owner_did      text        NOT NULL,
    imported_at    timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,           -- until then the same bundle is answered as imported
    seq            bigint      NOT NULL,
    version        bigint      NOT NULL
);

-- What a challenge was made for, beside its message: compared again when it comes back signed.
ALTER TABLE control.challenges
    ADD COLUMN controller_did        text,
    ADD COLUMN agent_did             text,
    ADD COLUMN rotation_role         smallint,
    ADD COLUMN from_did              text,
    ADD COLUMN to_did                text,
    ADD COLUMN transfer_to_owner_did text,
    ADD COLUMN bundle_hash           text,
    ADD COLUMN policy_hash           text;         -- the policy that the signature covers, where it covers one
CREATE INDEX challenges_owner_did ON control.challenges (owner_did);        -- serves: how many an owner has open

GRANT SELECT, INSERT, UPDATE ON control.bindings, control.agents, control.aliases, control.imports TO claw_issuer;
