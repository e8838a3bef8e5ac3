-- What the filters think of readings may change when later ones arrive. Times are UTC in microseconds.

-- Samples that made the filters think better of older ones, as far as a kept state of the filters lies between: readings
-- that come late before such a sample may take the change back, so the filters must then begin before `since_us`.
CREATE TABLE revision (
    registration INTEGER NOT NULL,
    time_us      INTEGER NOT NULL,  -- of the sample that brought it about
    record       INTEGER NOT NULL,
    since_us     INTEGER NOT NULL,  -- of the oldest sample that may have been changed
    PRIMARY KEY (registration, time_us, record)
) WITHOUT ROWID;

-- Broken probes: runs of readings flagged `broken`, from the first to the last of each.
CREATE TABLE episode (
    registration INTEGER NOT NULL,
    code         INTEGER NOT NULL,  -- the channel (store/channels.py)
    since_us     INTEGER NOT NULL,
    until_us     INTEGER NOT NULL,
    PRIMARY KEY (registration, code, since_us)
) WITHOUT ROWID;
