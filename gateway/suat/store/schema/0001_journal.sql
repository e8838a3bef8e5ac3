-- The journal's first form. Times are UTC in microseconds; `registration` is device.id.
-- Written once and never changed: a later form is a file of its own with the next number.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('registry_version', 0);

-- The registry. Each provisioning of a node is a registration of its own; none is ever deleted.
CREATE TABLE device (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('soil', 'water')),
    dev_eui    TEXT    NOT NULL CHECK (length(dev_eui) = 16),
    join_eui   TEXT    CHECK (length(join_eui) = 16),
    probes     TEXT    NOT NULL,          -- JSON: [{"name", "depth_cm", "position"}]
    added_us   INTEGER NOT NULL,
    revoked_us INTEGER,
    dev_nonce  INTEGER NOT NULL DEFAULT 0, -- lowest that a join request may still use
    join_nonce INTEGER NOT NULL DEFAULT 0  -- last one given
);
CREATE UNIQUE INDEX device_name ON device (name) WHERE revoked_us IS NULL;
CREATE UNIQUE INDEX device_eui ON device (dev_eui) WHERE revoked_us IS NULL;

-- Where a node stands, since when: a point carries the place of its sample time.
CREATE TABLE assignment (
    registration INTEGER NOT NULL REFERENCES device (id),
    since_us     INTEGER NOT NULL,
    paddock      TEXT,
    water_point  TEXT,
    PRIMARY KEY (registration, since_us)
) WITHOUT ROWID;

-- pending 1: given by a join, not yet used by the node; the session before it stays valid until then.
CREATE TABLE session (
    registration INTEGER NOT NULL REFERENCES device (id),
    pending      INTEGER NOT NULL CHECK (pending IN (0, 1)),
    dev_addr     INTEGER NOT NULL,
    nwk_skey     BLOB    NOT NULL CHECK (length(nwk_skey) = 16),
    app_skey     BLOB    NOT NULL CHECK (length(app_skey) = 16),
    fcnt_up      INTEGER NOT NULL,  -- next expected
    fcnt_down    INTEGER NOT NULL,  -- next to use
    PRIMARY KEY (registration, pending)
) WITHOUT ROWID;

-- The raw truth, one row a sample, packed by suat_wire.payload. The first commit of a record fixes it.
CREATE TABLE sample (
    id           INTEGER PRIMARY KEY,
    registration INTEGER NOT NULL,
    record       INTEGER NOT NULL,
    time_us      INTEGER NOT NULL,
    received_us  INTEGER NOT NULL,
    fcnt         INTEGER NOT NULL,
    rssi         REAL,
    snr          REAL,
    body         BLOB    NOT NULL,
    UNIQUE (registration, record)
);
CREATE INDEX sample_time ON sample (registration, time_us);

-- Derived from here on: each row can be computed again from the samples.

CREATE TABLE curve (
    id           INTEGER PRIMARY KEY,
    registration INTEGER NOT NULL REFERENCES device (id),
    grp          TEXT    NOT NULL,  -- the probe: 'probe1' .. 'probe4'
    coefficients TEXT    NOT NULL,  -- JSON: moisture = sum of c[i] * count ** i, m3/m3
    residual     REAL,              -- root mean square, m3/m3
    made_us      INTEGER NOT NULL
);

CREATE TABLE cleaned (
    sample INTEGER PRIMARY KEY,  -- sample.id
    body   BLOB NOT NULL         -- store/packed.py
);

-- The filters' state of one node after its samples up to (time_us, record): where a refiltering can begin.
CREATE TABLE filter_state (
    registration INTEGER NOT NULL,
    time_us      INTEGER NOT NULL,
    record       INTEGER NOT NULL,
    body         BLOB    NOT NULL,
    PRIMARY KEY (registration, time_us)
) WITHOUT ROWID;

CREATE TABLE window (
    id           INTEGER PRIMARY KEY,
    registration INTEGER NOT NULL,
    width_s      INTEGER NOT NULL,  -- 900, 3600; 86400 names the day of the station's zone, however long
    start_us     INTEGER NOT NULL,
    body         BLOB    NOT NULL,  -- store/packed.py
    UNIQUE (registration, width_s, start_us)
);

CREATE TABLE status (
    id      INTEGER PRIMARY KEY,
    at_us   INTEGER NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('paddock', 'water_point', 'station')),
    subject TEXT    NOT NULL,
    status  TEXT    NOT NULL,
    body    TEXT    NOT NULL,  -- JSON: the subject's object in `suat status --json`
    UNIQUE (kind, subject, at_us)
);

CREATE TABLE alert (
    id         INTEGER PRIMARY KEY,
    at_us      INTEGER NOT NULL,
    subject    TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    level      TEXT    NOT NULL,
    cleared_us INTEGER,
    body       TEXT    NOT NULL,
    UNIQUE (subject, kind, at_us)
);

CREATE TABLE move (
    id      INTEGER PRIMARY KEY,
    herd    TEXT    NOT NULL,
    paddock TEXT    NOT NULL,
    at_us   INTEGER NOT NULL,
    UNIQUE (herd, at_us)
);

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- Rows that the sinks must be told, written in the transaction that writes the rows: first..last are row ids, or
-- with a registration the record numbers of that node.
CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT    NOT NULL CHECK (kind IN ('sample', 'window', 'status', 'alert')),
    registration INTEGER,
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL
);

-- All of the outbox up to `position` was told, and of the entry after it what lies below `row`.
CREATE TABLE sink (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    row      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE dead_letter (
    id     INTEGER PRIMARY KEY,
    sink   TEXT    NOT NULL,
    at_us  INTEGER NOT NULL,
    line   TEXT    NOT NULL,
    reason TEXT    NOT NULL
);
