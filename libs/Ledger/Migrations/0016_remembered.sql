-- A follower also tells what it kept through an earlier recovery, which then had it under no number: revocation_seq is 0 there, as often as needed.
-- Of one revocation each row is as one or several followers saw it; recovery takes them in the order of their numbers.
ALTER TABLE ledger.remembered DROP CONSTRAINT remembered_pkey;
CREATE UNIQUE INDEX remembered_once ON ledger.remembered (epoch, revocation_seq, kind, token_hash, jti, group_key, blocked, cut) NULLS NOT DISTINCT;
