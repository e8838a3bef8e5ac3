-- What keeps the journal within its bounds: how much was told and when, what was dropped, what was salvaged.

-- One mark for each hour that the station ran: up to these ids every sink had been told. Age is counted in marks, so
-- that a clock that is years wrong drops nothing. Of those older than a week one a day is kept.
CREATE TABLE mark (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us   INTEGER NOT NULL,
    sample  INTEGER NOT NULL,
    window  INTEGER NOT NULL,
    status  INTEGER NOT NULL,
    alert   INTEGER NOT NULL
);

-- What was dropped on each day, and of which time it was. 'untold': readings that no longer had room before every sink
-- was told; 'damaged': they could not be read any more.
CREATE TABLE dropped (
    kind     TEXT    NOT NULL,
    why      TEXT    NOT NULL CHECK (why IN ('age', 'size', 'untold', 'thinned', 'damaged')),
    day_us   INTEGER NOT NULL,  -- the UTC day on which it was dropped
    first_us INTEGER NOT NULL,  -- times of the oldest and the newest row
    last_us  INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (kind, why, day_us)
) WITHOUT ROWID;

-- A damaged journal that was set aside, and how far its rows have been brought over.
CREATE TABLE salvage (
    id      INTEGER PRIMARY KEY,
    at_us   INTEGER NOT NULL,
    file    TEXT    NOT NULL,           -- its name beside the journal
    reason  TEXT    NOT NULL,           -- SQLite's own words
    page    INTEGER NOT NULL DEFAULT 0, -- pages of it that were gone through
    pages   INTEGER NOT NULL,
    rows    INTEGER NOT NULL DEFAULT 0, -- brought over
    done_us INTEGER
);
