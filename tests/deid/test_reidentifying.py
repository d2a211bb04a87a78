import json
from datetime import UTC, datetime

import polars as pl
import pytest

from residency.contract.errors import IdentityError, NotFoundError, SpecError
from residency.contract.identifiers import subject_id_of
from residency.deid import deidentify, new_key, register, reidentify

NOW = datetime(2024, 1, 1, tzinfo=UTC)
WHY = {"by": "Dr. A", "reason": "a finding that must be acted on", "now": NOW}


@pytest.fixture
def folder(records, patient):
    return records([[row for name in range(12) for row in patient(f"p{name}")]])


@pytest.fixture
def pseudonyms(folder, policy, tmp_path) -> list[int]:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    return (
        pl.read_parquet(sorted((tmp_path / "out" / "data").glob("*.parquet")))["subject_id"]
        .unique()
        .to_list()
    )


def lines(policy) -> list[dict]:
    return [json.loads(line) for line in register.beside(policy.key_file).read_text().splitlines()]


def test_the_holder_of_key_and_records_finds_everybody_and_it_is_on_record(
    folder, policy, pseudonyms
) -> None:
    found = reidentify(folder, pseudonyms, policy, **WHY)
    assert {one.references for one in found} == {(f"Patient/p{n}",) for n in range(12)}
    assert {one.ingest_id for one in found} == {subject_id_of(f"p{n}", "north") for n in range(12)}
    (line,) = lines(policy)
    assert (line["what"], line["by"], line["reason"]) == ("re-identification", WHY["by"], WHY["reason"])
    assert len(line["marks"]) == 12
    assert not any(str(one) in json.dumps(line) for one in pseudonyms)


def test_a_failed_attempt_is_on_record_too_and_tells_nothing(folder, policy, pseudonyms) -> None:
    with pytest.raises(NotFoundError) as caught:
        reidentify(folder, [pseudonyms[0], 17], policy, **WHY)
    assert str(pseudonyms[0]) not in str(caught.value)
    assert len(lines(policy)) == 1


@pytest.mark.parametrize("lacking", ["by", "reason"])
def test_nobody_and_no_reason_are_refused(folder, policy, pseudonyms, lacking) -> None:
    with pytest.raises(SpecError):
        reidentify(folder, pseudonyms[:1], policy, **(WHY | {lacking: " "}))


def test_without_the_key_there_is_no_way_back(folder, policy, pseudonyms) -> None:
    policy.key_file.unlink()
    with pytest.raises(IdentityError, match="missing"):
        reidentify(folder, pseudonyms[:1], policy, **WHY)
    new_key(policy.key_file)
    with pytest.raises(NotFoundError):
        reidentify(folder, pseudonyms[:1], policy, **WHY)


def test_whoever_was_looked_up_has_not_withdrawn(folder, policy, pseudonyms, tmp_path) -> None:
    reidentify(folder, pseudonyms[:1], policy, **WHY)
    deidentify(folder, tmp_path / "again", policy, now=NOW)
    assert pl.read_parquet(tmp_path / "again" / "metadata" / "subjects.parquet").height == 12
