-- Listings of some of the jobs: each is a range of one of these indexes, and
-- none of them sorts. `job_by_owner` of the first form stays for those of an
-- owner as a whole.

CREATE INDEX job_by_owner_state ON job (owner, state, id);

CREATE INDEX job_by_state ON job (state, id);

CREATE INDEX job_by_priority ON job (priority, id);

CREATE INDEX job_by_created_at ON job (created_at, id);

CREATE INDEX job_by_modified_at ON job (modified_at, id);

CREATE INDEX job_by_transferred_at ON job (transferred_at, id)
    WHERE transferred_at IS NOT NULL;
