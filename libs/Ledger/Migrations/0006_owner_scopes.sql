-- Whose a revocation is, who made it, and how long one is kept whose token is not known (DESIGN "Revocation").

-- The owner of the token, or the owner scope of the group; of an unscoped block of an owner, that owner. Null: not known.
ALTER TABLE ledger.revocations ADD COLUMN owner_did text;
ALTER TABLE ledger.revocations ADD COLUMN revoked_by text;             -- null in rows from before this migration
CREATE INDEX revocations_owner_did ON ledger.revocations (owner_did, revocation_seq) WHERE owner_did IS NOT NULL;   -- serves: an owner's list

-- The owner whose number of live rows is bounded; null where an operator made the row.
ALTER TABLE ledger.revoked_tokens ADD COLUMN charged_to text;
ALTER TABLE ledger.blocked_groups ADD COLUMN charged_to text;
CREATE INDEX revoked_tokens_charged_to ON ledger.revoked_tokens (charged_to) WHERE charged_to IS NOT NULL;          -- serves: the bound
CREATE INDEX blocked_groups_charged_to ON ledger.blocked_groups (charged_to) WHERE charged_to IS NOT NULL;          -- serves: the bound

-- The longest life a token could ever be given here, in seconds: a hash nobody issued may yet turn out to be such a token.
ALTER TABLE ledger.head ADD COLUMN longest_ttl bigint NOT NULL DEFAULT 0 CHECK (longest_ttl >= 0);

-- Ends a batch in which a caller's own token was taken back since its call was admitted. The message names the acts, by their
-- place in the batch, so that they alone are refused.
CREATE FUNCTION ledger.refuse_callers(dead integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(dead) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'TR001', MESSAGE = array_to_string(dead, ',');
    END IF;
END $$;
REVOKE ALL ON FUNCTION ledger.refuse_callers(integer[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.refuse_callers(integer[]) TO claw_issuer;
