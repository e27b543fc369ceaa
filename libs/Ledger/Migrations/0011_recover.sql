-- What recovery has to know of acts that nothing holds any more (docs/recovery.md).

-- How far somebody saw an epoch go that has lost acts since: what recovery does not bring back up to there is lost for good.
CREATE TABLE ledger.seen (
    epoch          uuid   PRIMARY KEY,
    seq            bigint NOT NULL,
    revocation_seq bigint NOT NULL
);

CREATE OR REPLACE FUNCTION ledger.report_loss(of_epoch uuid, known_seq bigint, known_revocation_seq bigint, known_beat bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO ledger.seen AS s (epoch, seq, revocation_seq)
    SELECT of_epoch, known_seq, known_revocation_seq FROM ledger.head h WHERE h.epoch = of_epoch AND (h.seq < known_seq OR h.revocation_seq < known_revocation_seq)
    ON CONFLICT (epoch) DO UPDATE SET seq = greatest(s.seq, excluded.seq), revocation_seq = greatest(s.revocation_seq, excluded.revocation_seq);
    UPDATE ledger.head SET needs_recovery = format('seq %s, revocation %s was read, and the ledger ends with seq %s, revocation %s', known_seq, known_revocation_seq, seq, revocation_seq)
     WHERE epoch = of_epoch AND needs_recovery IS NULL AND (seq < known_seq OR revocation_seq < known_revocation_seq OR beat < known_beat)
$$;
