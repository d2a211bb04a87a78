"""What identifies a patient goes in, and is found nowhere afterwards: in no error, log, audit or file."""

import copy
import json
import logging
import resource
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.serving.memory import swap_is_on

CANARIES = ("Zebedee", "Quillfeather", "CANARY-77-1234", "555-0199", "1941-11-23")
AS_OF = "2022-06-01T00:00:00"


def _marked(bundle: dict[str, Any]) -> dict[str, Any]:
    """Put a name, a number, a telephone and a birth date into one patient's Bundle."""
    marked = copy.deepcopy(bundle)
    patient = marked["entry"][0]["resource"]
    patient |= {
        "id": "CANARY-77-1234",
        "name": [{"family": "Quillfeather", "given": ["Zebedee"]}],
        "telecom": [{"system": "phone", "value": "555-0199"}],
        "birthDate": "1941-11-23",
    }
    text = "Zebedee Quillfeather, CANARY-77-1234, born 1941-11-23, called from 555-0199."
    marked["entry"].append({"resource": {
        "resourceType": "DocumentReference", "id": "n9", "status": "current", "date": "2021-01-01T00:00:00",
        "content": [{"attachment": {"contentType": "text/plain", "data": b64encode(text.encode()).decode()}}],
    }})  # fmt: skip
    for entry in marked["entry"][1:]:
        entry["resource"]["subject"] = {
            "reference": "Patient/CANARY-77-1234",
            "display": "Zebedee Quillfeather",
        }
        entry["resource"]["note"] = [{"text": "Zebedee Quillfeather called from 555-0199"}]
    return marked


def _bodies(world: Any) -> list[bytes | dict[str, Any]]:
    whole = _marked(world.bundles[3])
    broken = copy.deepcopy(whole)
    broken["entry"][1]["resource"]["effectiveDateTime"] = "Zebedee"
    wrong_type = copy.deepcopy(whole)
    wrong_type["entry"][1]["resource"]["valueQuantity"] = {"value": "Quillfeather"}
    return [
        {"fhir": whole, "as_of": AS_OF},
        {"fhir": broken, "as_of": AS_OF},
        {"fhir": whole, "as_of": AS_OF, "notes": [{"text": "Zebedee Quillfeather", "time": "Zebedee"}]},
        {"fhir": whole, "as_of": AS_OF, "notes": [{"text": "Zebedee Quillfeather", "kind": "Zebedee"}]},
        {"fhir": whole, "as_of": AS_OF, "variants": [{"name": "Zebedee", "gene": "Quillfeather"}]},
        {"fhir": wrong_type, "as_of": AS_OF},
        {"fhir": whole, "as_of": "Zebedee"},
        {"fhir": whole, "question": {"kind": "forecast", "outcomes": [{"name": "Zebedee", "codes": "x"}]}},
        {"fhir": whole, "question": {"kind": "draft", "document": "Zebedee"}},
        {"meds": [{"subject_id": "CANARY-77-1234", "code": "Zebedee", "time": "1941-11-23T00:00:00"}]},
        {"meds": [{"subject_id": "CANARY-77-1234", "code": "LOINC/2345-7", "numeric_value": "Quillfeather"}]},
        {"subject_id": "CANARY-77-1234"},
        b'{"fhir": {"name": "Zebedee Quillfeather"',
    ]  # fmt: skip


def test_what_identifies_a_patient_is_found_nowhere_afterwards(
    client: TestClient,
    world: Any,
    audit: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpx2", "httpcore", "httpcore2"):  # the test's own client
        logging.getLogger(name).setLevel(logging.WARNING)
    for body in _bodies(world):
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        ours = client.post("/residency/v1/ask", **sent)  # type: ignore[arg-type]
        chat = {"model": "residency", "messages": [], "patient_context": body}
        theirs = client.post(
            "/openai/v1/chat/completions", **(sent if isinstance(body, bytes) else {"json": chat})
        )  # type: ignore[arg-type]
        for answer in (ours, theirs):
            assert answer.status_code in (200, 422)
            assert not any(canary in answer.text for canary in CANARIES)
    client.get("/residency/v1/patients/CANARY-77-1234/events")
    client.get("/residency/v1/patients/CANARY-77-1234/attachments?as_of=Zebedee")
    client.get("/residency/v1/patients/CANARY-77-1234/notes/Zebedee")
    client.get("/residency/v1/Zebedee?name=Quillfeather")
    printed = "".join(capfd.readouterr())
    assert not any(canary in caplog.text + printed for canary in CANARIES)
    assert "/residency/v1/ask 200" in caplog.text
    for path in [*tmp_path.rglob("*"), audit]:
        if path.is_file():
            assert not any(canary.encode() in path.read_bytes() for canary in CANARIES)


@contextmanager
def _no_file_can_grow() -> Iterator[None]:
    """Have the kernel refuse every byte that this process, or any library in it, would write to a file."""
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, was[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)


def test_a_patient_is_answered_for_where_no_file_can_be_written(world: Any, tmp_path: Path) -> None:
    """Notes, codes and star alleles come with the Bundle, images beside it; the audit is in memory here."""
    audit = Path("file:/nowhere?vfs=memdb&uri=true")
    image = {"modality": "DX", "body_site": "CHEST", "time": "2021-02-01T00:00:00", "shape": [1, 64, 64]}
    image |= {"dtype": "uint8", "data": b64encode(bytes(range(256)) * 16).decode()}
    with TestClient(world.app(audit), base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
        client.headers["api-key"] = "res_ward"
        (tmp_path / "before").write_text("a file can be written")
        with _no_file_can_grow():
            with pytest.raises(OSError, match="large"), (tmp_path / "file").open("wb", buffering=0) as file:
                file.write(b"x")
            body = {"fhir": _marked(world.bundles[6]), "as_of": AS_OF, "images": [image]}
            answer = client.post("/residency/v1/ask", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["answer"]["risks"]
        assert {"codes", "notes", "images"} <= set(answer.json()["answer"]["modalities"])


def test_a_crash_of_the_server_leaves_no_image_of_its_memory() -> None:
    lines = (
        "import resource; from residency.serving.memory import no_core_dumps; no_core_dumps();"
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert subprocess.check_output([sys.executable, "-c", lines], text=True).strip() == "(0, 0)"


def test_a_machine_that_swaps_is_known(tmp_path: Path) -> None:
    title = "Filename\tType\tSize\tUsed\tPriority\n"
    for rows, is_on in (
        ("", False),
        ("/dev/zram0 partition 1 0 100\n", False),
        ("/swapfile file 1 0 -2\n", True),
    ):
        (tmp_path / "swaps").write_text(title + rows)
        assert swap_is_on(tmp_path / "swaps") == is_on
    assert not swap_is_on(tmp_path / "absent")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    number=st.integers(0, 11),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), max_size=4),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_whatever_bytes_are_sent_the_answer_is_an_answer_or_says_what_is_wrong(
    client: TestClient, world: Any, number: int, changes: list[tuple[float, int, bytes]], kept: float
) -> None:
    body = bytearray(json.dumps(_bodies(world)[number]).encode())
    for share, n_gone, new in changes:
        at = int(share * len(body))
        body[at : at + n_gone] = new
    sent = bytes(body[: int(kept * len(body))])
    for path in ("/residency/v1/ask", "/openai/v1/chat/completions", "/residency/v1/trajectory"):
        answer = client.post(path, content=sent)
        assert answer.status_code in (200, 403, 404, 422), answer.text
        assert not any(canary in answer.text for canary in CANARIES)


@pytest.mark.parametrize("body", [b'{"fhir": {"id": "\xff\x80"}}', b'{"meds": ' + b"[" * 100_000])
def test_no_utf_8_and_nests_beyond_reason_are_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/residency/v1/ask", content=body).status_code == 422
