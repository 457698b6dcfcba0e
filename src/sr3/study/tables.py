"""The SQLite schema of a study, and its migration from earlier versions."""

import sqlite3
from pathlib import Path

from sr3.errors import StudyError

__all__ = ["make_tables", "read_format"]

_FORMAT = 2
"""Version of the schema. Version 1 has no nonces."""
_SCHEMA = """
CREATE TABLE study (id INTEGER PRIMARY KEY CHECK (id = 1), settings TEXT NOT NULL);
CREATE TABLE subjects (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    question TEXT NOT NULL,
    method TEXT,
    consented TEXT NOT NULL,
    withdrawn TEXT
);
CREATE TABLE trials (
    token TEXT PRIMARY KEY,
    subject INTEGER NOT NULL REFERENCES subjects,
    place INTEGER NOT NULL,
    image TEXT NOT NULL,
    method TEXT,
    truth_first INTEGER NOT NULL,
    views INTEGER NOT NULL DEFAULT 0,
    UNIQUE (subject, place)
) WITHOUT ROWID;
CREATE TABLE answers (
    trial TEXT PRIMARY KEY REFERENCES trials,
    choice TEXT NOT NULL CHECK (choice IN ('first', 'second')),
    exposure REAL NOT NULL,
    frame REAL NOT NULL,
    response REAL NOT NULL,
    layout TEXT NOT NULL,
    width REAL NOT NULL,
    density REAL NOT NULL,
    answered TEXT NOT NULL
) WITHOUT ROWID;
"""
_SINCE_2 = """
CREATE TABLE showings (trial TEXT NOT NULL REFERENCES trials, nonce TEXT NOT NULL, PRIMARY KEY (trial, nonce))
WITHOUT ROWID;
ALTER TABLE subjects ADD COLUMN nonce TEXT;
CREATE UNIQUE INDEX subjects_by_nonce ON subjects (nonce)
"""


def make_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Create missing tables within the transaction of the caller; StudyError as for `read_format`."""
    found = read_format(connection, path)
    missing = [schema for since, schema in ((1, _SCHEMA), (2, _SINCE_2)) if found < since]
    for statement in ";".join(missing).split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_FORMAT}")


def read_format(connection: sqlite3.Connection, path: Path) -> int:
    """Read the version of the schema, 0 for an empty file; StudyError for an unknown schema."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if found > _FORMAT or (found == 0 and tables):
        raise StudyError(
            f"{path}: is not a database that this version of sr3 reads; give another file in the setting database"
        )
    return found
