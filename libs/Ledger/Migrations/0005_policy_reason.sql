-- Why a policy was put, for people and for the audit log.
ALTER TABLE policy.versions ADD COLUMN reason text;
