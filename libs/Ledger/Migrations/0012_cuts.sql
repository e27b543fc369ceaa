-- How far a cut reaches (DESIGN "Revocation"): as far as the clock and as the tokens it takes back, and not as far as anybody's.
--
-- A token says its iat in whole seconds, and that is all a verifier sees of when it was issued: a token that shall outlive a cut is
-- dated after it. Whoever has his own taken back and issued again, again and again, dates them further and further ahead of the
-- clock. That is for his groups alone: so what is dated ahead is noted by group, and head.max_iat, which every cut lies at or
-- after, counts a token dated ahead as if it were of the second in which it was recorded. It never goes back, whatever the
-- database's clock does.

-- Latest iat of a token of the group that lay ahead of the clock when it was recorded. Nothing that head.max_iat has reached since.
CREATE TABLE ledger.ahead (
    kind      smallint NOT NULL,
    group_key bytea    NOT NULL CHECK (length(group_key) = 32),
    iat       bigint   NOT NULL,
    PRIMARY KEY (kind, group_key)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.ahead TO claw_issuer;
