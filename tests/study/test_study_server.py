"""The study over HTTP: what a page may know, what becomes of an answer, and many subjects at once."""

import asyncio
import io
import json
import random
import re
from collections import Counter

import httpx
import numpy as np
import pytest
from PIL import Image

from sr3.errors import StudyError
from sr3.study.figures import figures, wilson
from sr3.study.server import build_app, open_server
from sr3.study.settings import QUESTIONS
from sr3.study.store import read_records
from sr3.study.subject_session import open_study
from studies import METHODS, make_study, nonce

pytestmark = pytest.mark.slow

MEASURED = {"exposure": 3.0, "frame": 0.0167, "response": 0.7, "layout": "row", "width": 64.0, "density": 1.0}


@pytest.fixture
def study(tmp_path):
    opened = open_study(make_study(tmp_path))
    yield opened
    opened.store.close()


def client(app) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://study")


async def _pixels(browser, url) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO((await browser.get(url)).content)))


def _file(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


async def answer(browser, state, choice, **measured) -> httpx.Response:
    body = {"choice": choice, **MEASURED, **measured}
    return await browser.post(f"/api/pairs/{state['pair']['id']}/answer", json=body)


def test_a_subject_is_led_from_consent_to_the_end(study):
    async def sit():
        async with client(build_app(study)) as browser:
            assert study.config.page.thanks not in (await browser.get("/api/page")).text
            before = (await browser.get("/api/state")).json()
            assert before["thanks"] == ""
            assert (before["stage"], before["total"], before["pair"]) == ("consent", 6, None)
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            for done in range(6):
                assert (state["stage"], state["done"], state["total"]) == ("trial", done, 6)
                assert state["question"] == QUESTIONS["better"]
                assert state["thanks"] == ""
                state = (await answer(browser, state, "first")).json()
            assert (state["stage"], state["pair"]) == ("done", None)
            assert state["thanks"] == study.config.page.thanks

    asyncio.run(sit())


def test_consent_given_twice_by_one_browser_is_one_subject(study):
    async def sit():
        async with client(build_app(study)) as browser:
            one = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            assert (await browser.post("/api/consent", json={"nonce": nonce()})).json() == one

    asyncio.run(sit())
    assert {record.subject for record in read_records(study.config.database)} == {1}


def test_the_sides_that_are_stored_are_the_sides_that_are_shown(study):
    async def sit():
        got = []
        async with client(build_app(study)) as browser:
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            while state["stage"] == "trial":
                url = f"/api/pairs/{state['pair']['id']}"
                got.append([await _pixels(browser, f"{url}/{slot}") for slot in ("first", "second")])
                state = (await answer(browser, state, "first")).json()
        return got

    shown = asyncio.run(sit())
    folder, sides = study.config.database.parent, set()
    for record, (first, second) in zip(read_records(study.config.database), shown, strict=True):
        image, method, truth_first = record.trial
        truth, other = (first, second) if truth_first else (second, first)
        assert np.array_equal(truth, _file(folder / "truth" / f"{image}.png"))
        if method is not None:
            assert np.array_equal(other, _file(next((folder / method).glob(f"{image}.*"))))
        sides.add(truth_first)
    assert sides == {True, False}


def test_an_answer_sent_again_changes_nothing_and_tells_what_comes_next(study):
    async def sit():
        async with client(build_app(study)) as browser:
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            after = (await answer(browser, state, "first")).json()
            again = await answer(browser, state, "second")
            assert (again.status_code, again.json()) == (200, after)

    asyncio.run(sit())
    answers = [record.answer for record in read_records(study.config.database) if record.answer]
    assert [given.choice for given in answers] == ["first"]


def test_only_the_pair_at_hand_can_be_seen_and_only_by_its_subject(study):
    async def sit():
        app = build_app(study)
        async with client(app) as browser, client(app) as other:
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            await other.post("/api/consent", json={"nonce": nonce()})
            url = f"/api/pairs/{state['pair']['id']}"
            assert (await browser.get(f"{url}/first")).status_code == 200
            assert (await other.get(f"{url}/first")).status_code == 404
            assert (await answer(other, state, "first")).status_code == 409
            await answer(browser, state, "first")
            assert (await browser.get(f"{url}/first")).status_code == 404
            assert (await browser.post(f"{url}/view", json={"nonce": nonce()})).status_code == 409

    asyncio.run(sit())


@pytest.mark.parametrize(
    "wrong",
    [{"choice": "both"}, {"exposure": -1}, {"exposure": "nan"}, {"layout": "heap"}, {"truth": 1}, {"response": 1e9}],
)
def test_an_answer_that_makes_no_sense_is_refused(wrong, study):
    async def sit():
        async with client(build_app(study)) as browser:
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            body = {"choice": "first", **MEASURED, **wrong}
            refused = await browser.post(f"/api/pairs/{state['pair']['id']}/answer", json=body)
            assert refused.status_code == 422
            assert (await browser.get("/api/state")).json() == state

    asyncio.run(sit())


def test_what_is_no_number_of_json_is_refused_and_not_repeated(study):
    async def sit():
        async with client(build_app(study)) as browser:
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            body = json.dumps({"choice": "first", **MEASURED, "exposure": float("nan")})
            url = f"/api/pairs/{state['pair']['id']}/answer"
            refused = await browser.post(url, content=body, headers={"Content-Type": "application/json"})
            assert (refused.status_code, refused.content) == (422, b"")

    asyncio.run(sit())


def test_who_withdraws_is_asked_for_consent_again(study):
    async def sit():
        async with client(build_app(study)) as browser:
            await answer(browser, (await browser.post("/api/consent", json={"nonce": nonce()})).json(), "first")
            assert (await browser.post("/api/withdraw")).json()["stage"] == "consent"
            assert (await browser.get("/api/state")).json()["stage"] == "consent"

    asyncio.run(sit())
    assert read_records(study.config.database) == []


async def _everything_sent(study) -> list[httpx.Response]:
    """All that a browser gets in a sitting."""
    async with client(build_app(study)) as browser:
        got = [await browser.get(path) for path in ("/", "/page.js", "/page.css", "/favicon.ico", "/api/page")]
        got.append(await browser.post("/api/consent", json={"nonce": nonce()}))
        while (state := got[-1].json())["stage"] == "trial":
            url = f"/api/pairs/{state['pair']['id']}"
            got += [await browser.get(f"{url}/{slot}") for slot in ("first", "second", "middle")]
            got.append(await browser.post(f"{url}/view", json={"nonce": nonce()}))
            got.append(await answer(browser, state, "second"))
        got += [await browser.get(path) for path in ("/docs", "/openapi.json", "/redoc", "/api/pairs/x/first")]
        return got


def test_nothing_that_is_sent_names_an_image_a_method_or_an_answer(study):
    sent = asyncio.run(_everything_sent(study))
    names = [*study.pictures.images, *METHODS, "truth", "fool", "check", str(study.config.database.parent), "camera"]
    for response in sent:
        text = f"{response.headers} {response.url} {response.content.decode('latin-1')}"
        if response.headers.get("content-type") == "image/png":
            text = f"{response.headers} {response.url}"  # the pixels' own bytes may spell anything
        text = text.replace(QUESTIONS["camera"], "")
        found = [name for name in names if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)]
        assert not found, response.url
    assert {response.status_code for response in sent[-4:]} == {404}


def test_the_state_has_these_fields_and_no_other(study):
    states = [
        response.json()
        for response in asyncio.run(_everything_sent(study))
        if response.url.path.endswith(("consent", "answer"))
    ]
    assert {frozenset(state) for state in states} == {
        frozenset({"stage", "done", "total", "exposure", "question", "pair", "thanks"})
    }
    pairs = [state["pair"] for state in states if state["pair"]]
    assert {(pair["width"], pair["height"], pair["middle"], frozenset(pair)) for pair in pairs} == {
        (64, 48, True, frozenset({"id", "width", "height", "middle"}))
    }


def test_both_pictures_of_a_pair_come_with_the_same_headers(study):
    sent = [
        response for response in asyncio.run(_everything_sent(study)) if response.url.path.endswith(("first", "second"))
    ]
    for first, second in zip(sent[:-1:2], sent[1:-1:2], strict=True):
        assert dict(first.headers) == dict(second.headers)
        assert first.headers["cache-control"] == "no-store"
        assert "etag" not in first.headers
        assert "last-modified" not in first.headers
        assert first.content != second.content


def test_the_same_seed_gives_the_same_order_under_other_identifiers(tmp_path):
    seen = []
    for name in "ab":
        (tmp_path / name).mkdir()
        study = open_study(make_study(tmp_path / name, settings="seed = 5"))
        token = study.consent("", nonce=nonce())
        records = read_records(study.config.database)
        seen.append(([record.trial for record in records], study.state(token).pair.id))
        study.store.close()
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_fifty_subjects_at_once_lose_nothing_and_the_report_counts_what_they_did(tmp_path):
    """Everybody is fooled by `noisy` now and then, loads the page again now and then, and sends some answers twice."""
    study = open_study(make_study(tmp_path, attention="checks = 1", pairs=3))
    fooled, shown = Counter(), Counter()

    async def sit(app, number):
        chance = random.Random(number)
        async with client(app) as browser:
            state = (await browser.post("/api/consent", json={"nonce": nonce()})).json()
            while state["stage"] == "trial":
                url = f"/api/pairs/{state['pair']['id']}"
                slots = ["first", "second"] + ["middle"] * state["pair"]["middle"]
                pictures = await asyncio.gather(*(browser.get(f"{url}/{slot}") for slot in slots))
                assert {picture.status_code for picture in pictures} == {200}
                assert (await browser.post(f"{url}/view", json={"nonce": nonce()})).status_code == 204
                place = study.store.place(browser.cookies["sr3_study"])
                _, method, first = place.trial
                wrong = method == "noisy" and chance.random() < 0.4
                shown[place.question, method] += 1
                fooled[place.question, method] += wrong
                if chance.random() < 0.2:
                    assert (await browser.get("/api/state")).json() == state
                choice = "first" if first != wrong else "second"
                repeats = await asyncio.gather(
                    *(answer(browser, state, choice) for _ in range(chance.choice((1, 1, 2))))
                )
                state = repeats[-1].json()
            assert state["stage"] == "done"

    async def all_at_once():
        app = build_app(study)
        await asyncio.gather(*(sit(app, number) for number in range(50)))

    asyncio.run(all_at_once())
    records = read_records(study.config.database)
    assert len(records) == 50 * 4 == sum(record.answer is not None for record in records)
    found = figures(study.config, records)
    assert not any(subject.left_out for subject in found.subjects)
    assert len(found.methods) == 4
    for group in found.methods:
        key = (group.question, group.method)
        assert (group.rate.fooled, group.rate.answers) == (fooled[key], shown[key])
        assert group.rate.interval == wilson(fooled[key], shown[key])
        assert group.subjects in (12, 13)
    assert sum(fooled.values()) > 10
    study.store.close()


def test_a_changed_picture_is_refused_once_there_are_answers(tmp_path):
    config = make_study(tmp_path)
    study = open_study(config)
    study.consent("", nonce=nonce())
    study.store.close()
    (tmp_path / "noisy" / "img0.png").write_bytes((tmp_path / "truth" / "img0.png").read_bytes())
    with pytest.raises(StudyError, match=r"contains answers given under other settings \(pictures\)"):
        open_study(config)


def test_a_port_that_is_taken_is_one_line(tmp_path):
    config = make_study(tmp_path)
    first = open_server(config, host="127.0.0.1", port=0)
    port = first.listener.getsockname()[1]
    assert first.url == f"http://127.0.0.1:{port}/"
    with pytest.raises(StudyError, match=rf"127.0.0.1:{port}: cannot bind to this address .* give another --port"):
        open_server(config, host="127.0.0.1", port=port)
    first.listener.close()


def test_the_page_loads_nothing_from_elsewhere(study):
    for response in asyncio.run(_everything_sent(study))[:3]:
        assert not re.search(r"https?://|//[a-z]+\.", response.text)
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_the_texts_of_the_page_are_those_of_the_settings(study):
    async def sit():
        async with client(build_app(study)) as browser:
            return (await browser.get("/api/page")).json()

    page = asyncio.run(sit())
    assert page["contact"] == "Ada, ada@example.org"
    assert len(page["consent"]) == 3
    assert "\n" not in json.dumps(page["consent"], ensure_ascii=False).replace("\\n", "\n")


@pytest.mark.parametrize("says_so", [True, False])
def test_a_large_body_is_refused_before_it_is_held(study, says_so):
    sent = []

    async def body():
        for _ in range(400):
            sent.append(1)
            yield bytes(64 * 1024)

    async def send():
        async with client(build_app(study)) as browser:
            if says_so:
                return await browser.post("/api/consent", content=bytes(2**20))
            return await browser.post("/api/consent", content=body())

    assert asyncio.run(send()).status_code in (400, 413)
    assert len(sent) < 10
