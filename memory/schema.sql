-- One stream's memory. Times are media time in integer microseconds; crc is CRC-32 over what the row says, its key
-- included: a row that damage has moved to another key is found damaged too.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;

-- reach_*: the range [start, end) of all that the event holds, its speech included: what forgetting goes by.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    reach_start_us INTEGER NOT NULL,
    reach_end_us INTEGER NOT NULL,
    open INTEGER NOT NULL,
    merged INTEGER NOT NULL,
    caption TEXT,
    speech BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX events_by_start ON events (reach_start_us);
CREATE INDEX events_by_end ON events (reach_end_us);
CREATE INDEX events_open ON events (open) WHERE open;

-- The mean of an event's frames, seen by whoever compares events.
CREATE TABLE event_vectors (event INTEGER PRIMARY KEY, crc INTEGER NOT NULL, vector BLOB NOT NULL);

-- Kept by triggers, so that nobody has to scan for a sum.
CREATE TABLE totals (events INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER events_added AFTER INSERT ON events BEGIN
    UPDATE totals SET events = events + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER events_gone AFTER DELETE ON events BEGIN
    UPDATE totals SET events = events - 1, bytes = bytes - old.bytes;
END;
CREATE TRIGGER events_grown AFTER UPDATE OF bytes ON events BEGIN
    UPDATE totals SET bytes = bytes - old.bytes + new.bytes;
END;

-- A picture may be the keyframe of several events that follow each other: a still scene is stored once, and
-- captured_us says when it was taken (NULL: format 1, which did not say; when it was seen first).
CREATE TABLE frames (
    event INTEGER NOT NULL,
    n INTEGER NOT NULL,
    media_us INTEGER NOT NULL,
    picture INTEGER NOT NULL,
    captured_us INTEGER,
    crc INTEGER NOT NULL,
    PRIMARY KEY (event, n)
) WITHOUT ROWID;
CREATE INDEX frames_by_picture ON frames (picture);
CREATE TABLE pictures (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, jpeg BLOB NOT NULL);

-- float16, unit length; apart from the pictures, so that an index is rebuilt from few pages.
CREATE TABLE vectors (
    picture INTEGER PRIMARY KEY,
    dim INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    vector BLOB NOT NULL
);

CREATE TABLE gaps (
    start_us INTEGER PRIMARY KEY,
    end_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    crc INTEGER NOT NULL
);

-- What was forgotten: nothing that was seen in [start, end) may come back.
CREATE TABLE tombstones (start_us INTEGER PRIMARY KEY, end_us INTEGER NOT NULL, crc INTEGER NOT NULL);

-- Events that are forgotten, and whose pictures still have to be wiped.
CREATE TABLE doomed (event INTEGER PRIMARY KEY);

CREATE VIRTUAL TABLE words USING fts5 (transcript, caption, tokenize = 'porter unicode61 remove_diacritics 2');
