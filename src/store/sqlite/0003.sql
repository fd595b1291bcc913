-- Uploads, the options of jobs and files, custom headers. What few rows have is
-- JSON in one column, null when it is what all others have.

ALTER TABLE job ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN options TEXT;
ALTER TABLE job ADD COLUMN was_resumed INTEGER NOT NULL DEFAULT 1;
ALTER TABLE job ADD COLUMN active_for_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN active_since INTEGER;
ALTER TABLE job ADD COLUMN error_circumstances TEXT;

ALTER TABLE file ADD COLUMN ranges TEXT;
ALTER TABLE file ADD COLUMN sha256 BLOB;

ALTER TABLE progress ADD COLUMN upload TEXT;

-- Custom headers of a job, sealed.
CREATE TABLE headers (
    job    BLOB PRIMARY KEY,
    sealed BLOB NOT NULL
) WITHOUT ROWID;

-- A queued job that is not to start yet stands in no line, but wakes.
DROP INDEX job_queued;

CREATE INDEX job_queued ON job (priority, queued_at, id)
    WHERE state = 0 AND intent IS NULL AND wake_at IS NULL;

DROP INDEX job_waiting;

CREATE INDEX job_waiting ON job (wake_at, id)
    WHERE (state = 0 OR state = 5) AND wake_at IS NOT NULL AND intent IS NULL;
