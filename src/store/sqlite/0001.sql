-- The first form of the store. Times are ticks of 100 ns since 1601-01-01 UTC;
-- keys of jobs are the sixteen octets of their GUID.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE job (
    id                    BLOB PRIMARY KEY,
    owner                 TEXT NOT NULL,
    display_name          TEXT NOT NULL,
    description           TEXT NOT NULL,
    priority              INTEGER NOT NULL,
    minimum_retry_delay_s INTEGER NOT NULL,
    no_progress_timeout_s INTEGER NOT NULL,
    state                 INTEGER NOT NULL,
    intent                INTEGER,
    transient_error_count INTEGER NOT NULL,
    stalled_at            INTEGER,
    wake_at               INTEGER,
    queued_at             INTEGER NOT NULL,
    created_at            INTEGER NOT NULL,
    modified_at           INTEGER NOT NULL,
    transferred_at        INTEGER,
    files_total           INTEGER NOT NULL,
    files_transferred     INTEGER NOT NULL,
    files_sized           INTEGER NOT NULL,
    bytes_known           INTEGER NOT NULL,
    bytes_transferred     INTEGER NOT NULL,
    proxy_usage           INTEGER NOT NULL,
    proxy_list            TEXT,
    proxy_bypass          TEXT,
    certificate_store     TEXT,
    certificate_hash      BLOB,
    certificate_subject   TEXT,
    error_context         INTEGER,
    error_code            INTEGER,
    error_file            INTEGER,
    error_detail          TEXT
) WITHOUT ROWID;

CREATE INDEX job_by_owner ON job (owner, id);

CREATE INDEX job_queued ON job (priority, queued_at, id)
    WHERE state = 0 AND intent IS NULL;

CREATE INDEX job_waiting ON job (wake_at, id)
    WHERE state = 5 AND intent IS NULL;

CREATE INDEX job_interrupted ON job (id)
    WHERE state = 1 OR state = 2 OR intent IS NOT NULL;

-- How many jobs there are: kind 0 all of them, kind 1 those of an owner.
CREATE TABLE tally (
    kind  INTEGER NOT NULL,
    owner TEXT NOT NULL,
    jobs  INTEGER NOT NULL,
    PRIMARY KEY (kind, owner)
) WITHOUT ROWID;

CREATE TRIGGER job_comes AFTER INSERT ON job BEGIN
    INSERT INTO tally VALUES (0, '', 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    INSERT INTO tally VALUES (1, NEW.owner, 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_goes AFTER DELETE ON job BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE kind = 0 AND owner = '';
    UPDATE tally SET jobs = jobs - 1 WHERE kind = 1 AND owner = OLD.owner;
    DELETE FROM tally WHERE kind = 1 AND owner = OLD.owner AND jobs = 0;
END;

CREATE TRIGGER job_changes_hands AFTER UPDATE OF owner ON job
WHEN OLD.owner <> NEW.owner BEGIN
    INSERT INTO tally VALUES (1, NEW.owner, 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    UPDATE tally SET jobs = jobs - 1 WHERE kind = 1 AND owner = OLD.owner;
    DELETE FROM tally WHERE kind = 1 AND owner = OLD.owner AND jobs = 0;
END;

-- What a client asked for; written once. `query` is sealed; `folded` is a hash
-- of the path in lower case.
CREATE TABLE file (
    job        BLOB NOT NULL,
    place      INTEGER NOT NULL,
    remote_url TEXT NOT NULL,
    query      BLOB,
    local_file TEXT NOT NULL,
    path       BLOB NOT NULL,
    folded     BLOB NOT NULL,
    PRIMARY KEY (job, place)
) WITHOUT ROWID;

CREATE INDEX file_by_path ON file (job, folded);

-- How far a file has come; written often, therefore narrow.
CREATE TABLE progress (
    job                     BLOB NOT NULL,
    place                   INTEGER NOT NULL,
    size                    INTEGER,
    durable                 INTEGER NOT NULL,
    transferred             INTEGER NOT NULL,
    placed                  INTEGER NOT NULL,
    etag                    TEXT,
    last_modified           TEXT,
    last_modified_is_strong INTEGER NOT NULL,
    PRIMARY KEY (job, place)
) WITHOUT ROWID;

CREATE INDEX progress_missing ON progress (job, place)
    WHERE transferred = 0;

-- Jobs that are gone, whose files are deleted step by step.
CREATE TABLE doomed (
    job BLOB PRIMARY KEY
) WITHOUT ROWID;

-- User name and password, sealed.
CREATE TABLE credentials (
    job    BLOB NOT NULL,
    target INTEGER NOT NULL,
    scheme INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (job, target, scheme)
) WITHOUT ROWID;

CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    job      BLOB NOT NULL,
    owner    TEXT NOT NULL,
    kind     TEXT NOT NULL,
    by       TEXT,
    detail   TEXT NOT NULL
);
