-- One stream's memory: the truth. Vectors and keyframes carry checksums; FAISS indexes are made from these rows.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE events (
    id TEXT PRIMARY KEY,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    open INTEGER NOT NULL,
    merged INTEGER NOT NULL DEFAULT 1,
    caption TEXT,
    transcript TEXT,
    speech BLOB NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE INDEX events_by_time ON events (start_us, end_us);

CREATE TABLE frames (
    event TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    media_us INTEGER NOT NULL,
    jpeg BLOB NOT NULL,
    jpeg_crc INTEGER NOT NULL,
    vector BLOB NOT NULL,
    vector_crc INTEGER NOT NULL,
    PRIMARY KEY (event, n)
);

CREATE TABLE gaps (start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE tombstones (start_us INTEGER NOT NULL, end_us INTEGER NOT NULL);
