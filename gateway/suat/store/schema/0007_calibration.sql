-- What calibrates a probe: the points that people measure, and the curves that are fitted to them (store/calibration.py).

CREATE TABLE calibration_point (
    id            INTEGER PRIMARY KEY,
    registration  INTEGER NOT NULL REFERENCES device (id),
    grp           TEXT    NOT NULL,  -- the probe: 'probe1' .. 'probe4'
    label         TEXT    NOT NULL,  -- the tin's number
    kind          TEXT    NOT NULL CHECK (kind IN ('air', 'water', 'soil')),
    at_us         INTEGER NOT NULL,  -- when the probe was read
    field         TEXT    NOT NULL,  -- what it gave: 'count', 'permittivity' or 'vwc'
    raw           REAL    NOT NULL,
    temperature_c REAL,
    tin_g         REAL,              -- of the soil core: empty tin, tin with the core as taken, and dried (NULL: not yet)
    wet_g         REAL,
    dry_g         REAL,
    volume_cm3    REAL,
    moisture      REAL,              -- m3/m3, where it was not found by weighing here
    made_by       TEXT    NOT NULL,
    dropped_us    INTEGER
);

-- Beside the coefficients: how a reading is put right before (quality/curves.py), and what the curve rests on.
ALTER TABLE curve ADD COLUMN field TEXT NOT NULL DEFAULT 'count';
ALTER TABLE curve ADD COLUMN air REAL NOT NULL DEFAULT 0;
ALTER TABLE curve ADD COLUMN water REAL NOT NULL DEFAULT 1;
ALTER TABLE curve ADD COLUMN per_kelvin REAL NOT NULL DEFAULT 0;
ALTER TABLE curve ADD COLUMN reference_c REAL NOT NULL DEFAULT 20;
ALTER TABLE curve ADD COLUMN low REAL;   -- the reading, put right, of the driest and of the wettest point
ALTER TABLE curve ADD COLUMN high REAL;
ALTER TABLE curve ADD COLUMN soil TEXT NOT NULL DEFAULT '';
ALTER TABLE curve ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
ALTER TABLE curve ADD COLUMN bulk_density REAL;                  -- dry, g/cm3
ALTER TABLE curve ADD COLUMN points TEXT NOT NULL DEFAULT '[]';  -- JSON: the points as they were then
ALTER TABLE curve ADD COLUMN dropped_us INTEGER;
