"""A server killed in the middle loses nothing that it acknowledged."""

import sqlite3
import threading
import time

import httpx
import pytest

from serving import Serving
from sr3.study.store import read_records
from studies import make_study, nonce

MEASURED = {"exposure": 3.0, "frame": 0.0167, "response": 0.7, "layout": "row", "width": 64.0, "density": 1.0}


def sit(browser: httpx.Client, acknowledged: dict[str, str], *, pause: float = 0.0) -> None:
    """Answer until the end, or until the server is gone."""
    state = browser.post("/api/consent", json={"nonce": nonce()}).json()
    while state["stage"] == "trial":
        pair, choice = state["pair"]["id"], ("first", "second")[state["done"] % 2]
        browser.post(f"/api/pairs/{pair}/view", json={"nonce": nonce()})
        state = browser.post(f"/api/pairs/{pair}/answer", json={"choice": choice, **MEASURED}).json()
        acknowledged[pair] = choice
        time.sleep(pause)


@pytest.mark.slow
def test_every_acknowledged_answer_survives_kill_9_and_subjects_go_on_where_they_were(tmp_path):
    config = make_study(tmp_path, pairs=25)
    path = tmp_path / "study.toml"
    acknowledged: list[dict[str, str]] = [{}, {}, {}]

    def until_killed(browser, mine):
        with pytest.raises(httpx.TransportError):
            sit(browser, mine, pause=0.02)

    with Serving(path) as server:
        browsers = [httpx.Client(base_url=server.url, timeout=30) for _ in acknowledged]
        threads = [
            threading.Thread(target=until_killed, args=pair) for pair in zip(browsers, acknowledged, strict=True)
        ]
        for thread in threads:
            thread.start()
        while min(map(len, acknowledged)) < 5:
            time.sleep(0.01)
        server.kill()
        for thread in threads:
            thread.join()
        port = server.port
    before = [dict(mine) for mine in acknowledged]
    assert all(5 <= len(mine) < 27 for mine in before)
    assert _stored(config.database).items() >= {k: v for mine in before for k, v in mine.items()}.items()
    with Serving(path, port=port):
        for browser, mine in zip(browsers, acknowledged, strict=True):
            done = browser.get("/api/state").json()["done"]
            assert len(mine) <= done <= len(mine) + 1  # the last answer may have been kept without being acknowledged
            sit(browser, mine)
            browser.close()
    records = read_records(config.database)
    assert {record.subject for record in records} == {1, 2, 3}
    assert len(records) == 3 * 27 == sum(record.answer is not None for record in records)
    assert _stored(config.database).items() >= {k: v for mine in acknowledged for k, v in mine.items()}.items()


def _stored(path) -> dict[str, str]:
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(database.execute("SELECT trial, choice FROM answers").fetchall())
    finally:
        database.close()
