-- A counter that a flipped bit set back would be used twice: `guard` shows it (store/sessions.py). SQLite writes it with
-- every change of the row and reads it as it stands.

CREATE TABLE guarded_session (
    registration INTEGER NOT NULL REFERENCES device (id),
    pending      INTEGER NOT NULL CHECK (pending IN (0, 1)),
    dev_addr     INTEGER NOT NULL,
    nwk_skey     BLOB    NOT NULL CHECK (length(nwk_skey) = 16),
    app_skey     BLOB    NOT NULL CHECK (length(app_skey) = 16),
    fcnt_up      INTEGER NOT NULL,  -- next expected
    fcnt_down    INTEGER NOT NULL,  -- next to use
    guard        INTEGER GENERATED ALWAYS AS
                 (registration * 3 + pending * 5 + dev_addr * 7 + fcnt_up * 11 + fcnt_down * 13) STORED,
    PRIMARY KEY (registration, pending)
) WITHOUT ROWID;
INSERT INTO guarded_session (registration, pending, dev_addr, nwk_skey, app_skey, fcnt_up, fcnt_down)
    SELECT registration, pending, dev_addr, nwk_skey, app_skey, fcnt_up, fcnt_down FROM session;
DROP TABLE session;
ALTER TABLE guarded_session RENAME TO session;
