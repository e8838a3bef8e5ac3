-- The network server's downlinks (store/downlinks.py). Times are UTC in microseconds.

CREATE TABLE settings_order (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    registration INTEGER NOT NULL REFERENCES device (id),
    payload      BLOB    NOT NULL,            -- FPort 5
    ordered_us   INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK
                 (state IN ('pending', 'confirmed', 'sent', 'rolled back', 'refused', 'cancelled')),
    sent         INTEGER NOT NULL DEFAULT 0,  -- how often
    sent_us      INTEGER,                     -- the last time
    settled_us   INTEGER
);
CREATE INDEX settings_order_node ON settings_order (registration);

CREATE TABLE link (
    registration INTEGER PRIMARY KEY REFERENCES device (id),
    tx_power     INTEGER NOT NULL,
    nb_trans     INTEGER NOT NULL,
    channels_hz  TEXT    NOT NULL,  -- JSON: those beyond the region's default ones, 0 where there is none
    config       INTEGER,           -- CRC-32 of the settings that the node accepted, as its health tells
    battery      INTEGER,           -- DevStatusAns, with margin_db and when it came
    margin_db    INTEGER,
    status_us    INTEGER
);

-- Air time of downlinks in bands with a duty cycle, of the last hour.
CREATE TABLE airtime (
    gateway TEXT    NOT NULL,
    band    INTEGER NOT NULL,
    at_us   INTEGER NOT NULL,
    air_us  INTEGER NOT NULL
);
CREATE INDEX airtime_at ON airtime (at_us);
