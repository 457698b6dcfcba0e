"""The database of answers of a study, one SQLite file. An acknowledged answer is on the disk.

Every change is one transaction, written through before it returns (WAL, synchronous=FULL). Identifiers that leave the
server are random and reveal nothing about order, image or method. This module does not depend on images or HTTP.
"""

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sr3.errors import StudyError
from sr3.study.settings import Question
from sr3.study.tables import make_tables, read_format
from sr3.study.trials import Condition, Trial

__all__ = ["Answer", "Choice", "Layout", "Place", "Record", "Store", "open_store", "read_records"]

Choice = Literal["first", "second"]
Layout = Literal["row", "column"]

_LEAST = """
SELECT COUNT(*) FROM subjects s
WHERE s.question = ? AND s.method IS ? AND s.withdrawn IS NULL AND (
    s.consented > datetime('now', '-1 hour')
    OR NOT EXISTS (SELECT 1 FROM trials t LEFT JOIN answers a ON a.trial = t.token
                   WHERE t.subject = s.number AND a.trial IS NULL)
)
"""
_CURRENT = """
SELECT t.token, t.image, t.method, t.truth_first FROM trials t LEFT JOIN answers a ON a.trial = t.token
WHERE t.subject = ? AND a.trial IS NULL ORDER BY t.place LIMIT 1
"""
_RECORDS = """
SELECT s.number, s.question, t.place, t.image, t.method, t.truth_first, t.views,
       a.choice, a.exposure, a.frame, a.response, a.layout, a.width, a.density, a.answered
FROM subjects s JOIN trials t ON t.subject = s.number LEFT JOIN answers a ON a.trial = t.token
WHERE s.withdrawn IS NULL ORDER BY s.number, t.place
"""


class Answer(NamedTuple):
    """A choice, and the measurements of the page: seconds, CSS pixels, and device pixels per CSS pixel."""

    choice: Choice
    exposure: float
    """Seconds from the first frame with the pair to the first frame without it."""
    frame: float
    """Seconds per frame of the screen."""
    response: float
    """Seconds from the end of the exposure to the choice."""
    layout: Layout
    width: float
    density: float


class Place(NamedTuple):
    """Progress of a subject: the current trial and its token, or None at the end."""

    question: Question
    done: int
    total: int
    token: str | None
    trial: Trial | None


class Record(NamedTuple):
    """A trial as the report reads it; answer is None for a trial without one."""

    subject: int
    question: Question
    place: int
    trial: Trial
    views: int
    answer: Answer | None
    answered: str


class Store:
    """The database of answers, open for a server. Its methods are thread-safe."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use a connection with existing tables."""
        self._connection = connection
        self._lock = threading.Lock()

    def enrol(
        self, choices: Sequence[Condition], draw: Callable[[Condition, int], Sequence[Trial]], *, nonce: str
    ) -> str:
        """Add a subject, with all its trials, to the condition with the fewest subjects; returns its token.

        Counted are subjects that have answered all trials, or that started within the last hour and may still do so.
        nonce: of the request; a repeated nonce returns the same subject.
        """
        token = secrets.token_urlsafe(18)
        with self._transaction() as database:
            before = database.execute("SELECT token FROM subjects WHERE nonce = ?", (nonce,)).fetchone()
            if before is not None:
                return before[0]
            counts = [database.execute(_LEAST, tuple(choice)).fetchone()[0] for choice in choices]
            chosen = choices[counts.index(min(counts))]
            added = database.execute(
                "INSERT INTO subjects (token, nonce, question, method, consented) VALUES (?, ?, ?, ?, datetime('now'))",
                (token, nonce, *chosen),
            )
            number = added.lastrowid
            assert number is not None
            rows = [(secrets.token_urlsafe(18), number, k, *trial) for k, trial in enumerate(draw(chosen, number))]
            database.executemany(
                "INSERT INTO trials (token, subject, place, image, method, truth_first) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
        return token

    def place(self, subject: str) -> Place | None:
        """Return the progress of a subject; None for an unknown token, or a subject that has withdrawn."""
        with self._transaction() as database:
            return _place(database, subject)

    def view(self, subject: str, trial: str, *, nonce: str) -> bool:
        """Count a showing of the current trial, once per nonce; False for another trial."""
        with self._transaction() as database:
            place = _place(database, subject)
            if place is None or place.token != trial:
                return False
            added = database.execute("INSERT OR IGNORE INTO showings VALUES (?, ?)", (trial, nonce))
            database.execute("UPDATE trials SET views = views + ? WHERE token = ?", (added.rowcount, trial))
        return True

    def answer(self, subject: str, trial: str, answer: Answer) -> bool:
        """Store the answer to the current trial. An existing answer is not changed; False for any other trial."""
        with self._transaction() as database:
            place = _place(database, subject)
            if place is None:
                return False
            if place.token == trial:
                row = (trial, *answer, datetime.now(UTC).isoformat(timespec="milliseconds"))
                database.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
                return True
            found = database.execute(
                "SELECT 1 FROM answers a JOIN trials t ON t.token = a.trial JOIN subjects s ON s.number = t.subject "
                "WHERE a.trial = ? AND s.token = ?",
                (trial, subject),
            ).fetchone()
        return found is not None

    def withdraw(self, subject: str) -> None:
        """Delete the answers of a subject. The row of the subject stays, so that no number is used twice."""
        with self._transaction() as database:
            own = "(SELECT number FROM subjects WHERE token = ?)"
            for table in ("answers", "showings"):
                database.execute(
                    f"DELETE FROM {table} WHERE trial IN (SELECT token FROM trials WHERE subject = {own})", (subject,)
                )
            database.execute(f"DELETE FROM trials WHERE subject = {own}", (subject,))
            database.execute(
                "UPDATE subjects SET withdrawn = datetime('now'), nonce = NULL WHERE token = ?", (subject,)
            )
        with self._lock:  # deleted rows stay in the write-ahead log until a checkpoint
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock, _transaction(self._connection):
            yield self._connection


def open_store(path: Path, settings: Mapping[str, Any]) -> Store:
    """Open or create the database of answers.

    settings: those that answers depend on. Raises StudyError when the file is not a database of a study, cannot be
    written, or contains answers given under other settings.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            _prepare(connection, path, settings)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise StudyError(
            f"{path}: cannot be used as a database of answers ({error}); give another file in the setting database"
        ) from error
    return Store(connection)


def read_records(path: Path, settings: Mapping[str, Any] | None = None) -> list[Record]:
    """Read all trials of subjects that have not withdrawn; a server may write meanwhile.

    settings: as for `open_store`, without the hash of the images; None skips the comparison. Raises StudyError when the
    file is missing, or when its answers were given under other settings.
    """
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file; run the study first: sr3 study serve")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=30)
        try:
            if read_format(connection, path) == 0:
                raise StudyError(f"{path}: contains no study; run it first: sr3 study serve")
            if settings is not None:
                _check_settings(connection, path, settings, ignored=frozenset({"pictures"}))
            return [_record(row) for row in connection.execute(_RECORDS)]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StudyError(f"{path}: cannot be read as a database of answers ({error}); check the path") from error


def _prepare(connection: sqlite3.Connection, path: Path, settings: Mapping[str, Any]) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    with _transaction(connection):
        make_tables(connection, path)
        _check_settings(connection, path, settings)
        connection.execute("INSERT OR REPLACE INTO study VALUES (1, ?)", (json.dumps(dict(settings), sort_keys=True),))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _check_settings(
    connection: sqlite3.Connection, path: Path, settings: Mapping[str, Any], *, ignored: frozenset[str] = frozenset()
) -> None:
    """Raise StudyError when answers were given under other settings."""
    row = connection.execute("SELECT settings FROM study").fetchone()
    if row is None or not connection.execute("SELECT COUNT(*) FROM subjects").fetchone()[0]:
        return
    before: dict[str, Any] = json.loads(row[0])
    now: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    keys = (before.keys() | now.keys()) - ignored
    if changed := sorted(key for key in keys if before.get(key) != now.get(key)):
        raise StudyError(
            f"{path}: contains answers given under other settings ({', '.join(changed)}); undo the change, or give "
            "another file in the setting database"
        )


def _place(database: sqlite3.Connection, subject: str) -> Place | None:
    row = database.execute(
        "SELECT number, question FROM subjects WHERE token = ? AND withdrawn IS NULL", (subject,)
    ).fetchone()
    if row is None:
        return None
    number, question = row
    total = database.execute("SELECT COUNT(*) FROM trials WHERE subject = ?", (number,)).fetchone()[0]
    done = database.execute(
        "SELECT COUNT(*) FROM answers a JOIN trials t ON t.token = a.trial WHERE t.subject = ?", (number,)
    ).fetchone()[0]
    current = database.execute(_CURRENT, (number,)).fetchone()
    if current is None:
        return Place(question, done, total, None, None)
    token, image, method, truth_first = current
    return Place(question, done, total, token, Trial(image, method, bool(truth_first)))


def _record(row: tuple[Any, ...]) -> Record:
    subject, question, place, image, method, truth_first, views, choice, *measured, answered = row
    answer = None if choice is None else Answer(choice, *measured)
    return Record(subject, question, place, Trial(image, method, bool(truth_first)), views, answer, answered or "")
