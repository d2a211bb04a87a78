"""Whatever bytes come from outside: a fixed answer or one of our own errors, nothing on the network."""

import logging
import socket
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from residency.contract import approval
from residency.contract.errors import ResidencyError
from residency.contract.identifiers import subject_id_of
from residency.contract.lineage import Manifest, Rows
from residency.contract.schema import IDENTIFIERS, NOTES
from residency.deid import ImagesRules, Policy, Shown, Tables, load_policy, read_key, register, transform
from residency.deid.dicom import Refused, hide_file
from residency.deid.known import known_of
from residency.deid.scrubber import find_spans

KEY = b"k" * 32
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
DICOM = Path(str(get_testdata_file("MR_small.dcm", download=False))).read_bytes()
BYTES = st.binary(max_size=400)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Give a DICOM file with some bytes changed, taken out, put in, or cut off."""
    body = bytearray(DICOM[: draw(st.integers(200, len(DICOM)))])
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=6))
    return bytes(body)


@FEW
@given(body=st.one_of(damaged(), BYTES, BYTES.map(lambda tail: DICOM[:132] + tail)))
def test_a_dicom_file_is_hidden_or_refused_with_a_reason_of_ours(body: bytes) -> None:
    rules = ImagesRules(unknown_sites="keep", faces="keep", burned_in="off")
    policy = Policy(key_file=Path("nowhere"), images=rules)
    try:
        told = hide_file(body, policy, KEY, lambda number: subject_id_of(number, "north")).body
    except Refused as refused:
        told = refused.reason.encode()
    assert b"CompressedSamples" not in told  # the patient's name in that file
    assert logging.getLogger("pydicom").propagate


@FEW
@given(body=st.one_of(BYTES, st.text(max_size=200).map(str.encode)))
def test_what_lies_beside_a_key_or_in_a_release_is_read_or_refused(body: bytes, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("odd")
    readers = {
        "shown.json": Shown.read,
        "policy.toml": load_policy,
        "deid.key": lambda path: read_key(Policy(key_file=path)),
        "x.register.jsonl": lambda path: register.read(path.with_name("x"), KEY),
    }
    for name, read in readers.items():
        (folder / name).write_bytes(body)
        with suppress(ResidencyError):
            read(folder / name)


@FEW
@given(body=BYTES)
def test_a_signature_that_is_none_is_refused(body: bytes, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "metadata").mkdir()
    (folder / approval.SIGNATURE).write_bytes(body)
    stated = Manifest(
        format=1, step="deidentify", made_from=(), spec={}, code_version="", rows=Rows(), shards=()
    )
    with pytest.raises(ResidencyError):
        approval.check(folder, stated, ("sha256:" + "0" * 64,))


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=120)


@FEW
@given(text=TEXTS, name=TEXTS, number=TEXTS)
def test_any_text_and_any_identifier_give_spans_in_order(text: str, name: str, number: str) -> None:
    known = known_of([("name", name), ("number", number), ("address", text), ("date_of_birth", number)])
    spans = find_spans(f"{text} {name} {number}", known)
    places = [place for span in spans for place in (span.start, span.end)]
    assert places == sorted(places)


def test_the_whole_of_it_works_with_every_socket_closed(monkeypatch, patient, rows, policy) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    subject = subject_id_of("p1", "north")
    note = dict.fromkeys(NOTES.names) | {"subject_id": subject, "time": datetime(2010, 2, 3)}  # noqa: DTZ001
    note |= {"source": "DocumentReference/1", "text": "Jane Quill of 12 Larkspur Lane, 02/03/2010: COPD."}
    known = {"subject_id": subject, "kind": "name", "value": "Jane Quill"}
    found = transform(
        Tables(rows(patient("p1")), notes=pl.DataFrame([note]).cast(_types(NOTES)).to_arrow().cast(NOTES)),
        policy,
        read_key(policy),
        identifiers=pl.DataFrame([known]).to_arrow().cast(IDENTIFIERS),
    )
    (text,) = found.tables.notes.column("text").to_pylist()
    assert "Quill" not in text
    assert text.endswith("COPD.")
    hide_file(DICOM, _open(policy), read_key(policy), lambda number: subject_id_of(number, "north"))


def _types(kind) -> pl.Schema:
    return pl.DataFrame(pl.from_arrow(kind.empty_table())).schema


def _open(policy: Policy) -> Policy:
    return replace(policy, images=ImagesRules(unknown_sites="keep", faces="keep"))
