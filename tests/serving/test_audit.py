"""The audit: every answer and refusal, chained; and ledgers that cannot be cut back unseen."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from residency.contract.errors import SignatureError
from residency.serving import Audit
from residency.serving.audit import Row, mark_of

ROW = Row(
    time=datetime(2026, 3, 1, 9, 0, tzinfo=UTC),
    grantee="ward",
    purpose="DUO:0000043",
    kind="forecast",
    tasks=("death_1y",),
    release="0" * 64,
    state="internal",
    status=200,
    latency_ms=12.0,
    request="1" * 64,
)


@pytest.fixture
def book(audit: Path) -> Iterator[Audit]:
    found = Audit(f"sqlite:///{audit}")
    yield found
    found.close()


def test_every_answer_and_every_refusal_is_written(client: TestClient, world: Any, audit: Path) -> None:
    asked = {"fhir": world.bundles[2], "as_of": "2022-06-01T00:00:00"}
    client.post("/residency/v1/ask", json=asked)
    client.post("/residency/v1/ask", json=asked, headers={"api-key": "res_unknown"})
    client.post("/residency/v1/ask", json={"subject_id": "12345"})
    client.get("/residency/v1/patients", headers={"api-key": "res_clinic"})
    with sqlite3.connect(audit) as database:
        rows = list(database.execute("select grantee, kind, tasks, status, state from audit order by n"))
    database.close()
    assert rows == [
        ("ward", "forecast", "death_1y diabetes_1y hypertension_2y", 200, "internal"),
        ("", "ask", "", 401, "internal"),
        ("ward", "forecast", "death_1y diabetes_1y hypertension_2y", 404, "internal"),
        ("clinic", "patients", "", 403, "internal"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "update audit set status = 401 where n = 3",
        "update audit set time = '2020' where n = 0",
        "delete from audit where n = 4",
        "delete from audit where n = 0",
        "update audit set n = 100 where n = 2",
    ],
)
def test_an_edited_row_is_found(book: Audit, audit: Path, change: str) -> None:
    for number in range(8):
        book.write(replace(ROW, latency_ms=float(number)))
    assert book.check() == 8
    with sqlite3.connect(audit) as database:
        database.execute(change)
    database.close()
    with pytest.raises(SignatureError, match="chain is broken"):
        book.check()


def test_writers_at_once_make_one_chain(book: Audit, audit: Path) -> None:
    second = Audit(f"sqlite:///{audit}")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: (book, second)[n % 2].write(replace(ROW, status=n)), range(40)))
    second.close()
    assert book.check() == 40


def test_a_quota_counts_answers_of_the_day_only(book: Audit) -> None:
    book.write(ROW)
    book.write(replace(ROW, status=422))
    book.write(replace(ROW, time=ROW.time.replace(day=2)))
    book.write(replace(ROW, grantee="other"))
    assert book.answered_today("ward", ROW.time) == 1


def test_a_ledger_that_was_cut_back_is_refused(book: Audit) -> None:
    book.remember("a", ("1", "2", "3"))
    book.remember("a", ("1", "2", "3", "4"))
    book.remember("b", ("1",))
    for shorter in (("1", "2", "3"), ("1", "2", "3", "5"), ("1", "2", "3", "5", "6")):
        with pytest.raises(SignatureError, match="seen before"):
            book.remember("a", shorter)


def test_a_mark_tells_nothing_without_the_key() -> None:
    assert mark_of("a", b"patient 7") == mark_of("a", b"patient 7")
    assert mark_of("a", b"patient 7") != mark_of("b", b"patient 7")
    assert mark_of("a", b"patient 7") != mark_of("a", b"patient 8")
