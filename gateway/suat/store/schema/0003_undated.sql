-- Samples that came in before the station knew the time (store/undated.py). Times are microseconds since the start of
-- the machine's boot `boot` (/proc/sys/kernel/random/boot_id); a sample may be older than the boot.

CREATE TABLE undated (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    boot         TEXT    NOT NULL,
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
CREATE INDEX undated_boot ON undated (boot, id);
