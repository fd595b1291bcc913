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

-- The line: owners take turns at each priority, an owner's jobs are first come,
-- first served; and the same by host, for when some hosts have had enough. A
-- queued job that is not to start yet stands in no line, but wakes.
ALTER TABLE job ADD COLUMN host TEXT NOT NULL DEFAULT '';

DROP INDEX job_queued;

CREATE INDEX job_queued ON job (priority, owner, queued_at, id, host)
    WHERE state = 0 AND intent IS NULL AND wake_at IS NULL;

CREATE INDEX job_queued_by_host ON job (priority, host, owner, queued_at, id)
    WHERE state = 0 AND intent IS NULL AND wake_at IS NULL;

CREATE INDEX job_put_off ON job (wake_at, id)
    WHERE state = 0 AND wake_at IS NOT NULL AND intent IS NULL;

-- Jobs that wait for the network (BG_E_NETWORK_DISCONNECTED).
CREATE INDEX job_disconnected ON job (id)
    WHERE state = 5 AND error_code = 2149580816 AND intent IS NULL;
