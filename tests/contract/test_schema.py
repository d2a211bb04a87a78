import meds
import pyarrow as pa
import pytest

from residency.contract import schema
from residency.contract.codes import SYSTEMS, built_in_parents, join, system_of_uri
from residency.contract.errors import SchemaError


def empty(of: pa.Schema) -> pa.Table:
    return of.empty_table()


def test_events_and_labels_hold_every_column_of_meds() -> None:
    for ours, theirs in (
        (schema.EVENTS, meds.DataSchema.schema()),
        (schema.LABELS, meds.LabelSchema.schema()),
    ):
        for field in theirs:
            assert ours.field(field.name).type == field.type


def test_columns_may_come_in_any_order() -> None:
    table = empty(schema.EVENTS).select(list(reversed(schema.EVENTS.names)))
    assert schema.check(table, schema.EVENTS).schema == schema.EVENTS


@pytest.mark.parametrize("name", schema.EVENTS.names)
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(SchemaError, match=name):
        schema.check(empty(schema.EVENTS).drop([name]), schema.EVENTS, "data/x.parquet")


def test_another_type_and_a_null_id_are_refused() -> None:
    wrong = empty(schema.SUBJECTS).set_column(0, "subject_id", pa.array([], pa.string()))
    with pytest.raises(SchemaError, match="subject_id is string"):
        schema.check(wrong, schema.SUBJECTS)
    null = pa.table(
        {"subject_id": pa.array([None], pa.int64()), "site": ["a"], "split_bucket": pa.array([1], pa.int16())}
    )
    with pytest.raises(SchemaError, match="1 nulls"):
        schema.check(null, schema.SUBJECTS)


def test_each_uri_names_one_system() -> None:
    uris = [uri for system in SYSTEMS for uri in system.uris]
    assert len(uris) == len(set(uris))
    assert system_of_uri("http://hl7.org/fhir/sid/icd-10-cm") == "ICD10CM"
    assert system_of_uri("http://example.org") is None


def test_a_code_of_no_system_is_refused() -> None:
    assert join("RXNORM", "6809") == "RXNORM/6809"
    with pytest.raises(KeyError):
        join("NOWHERE", "1")


def test_spelling_tells_the_ancestors_of_icd_and_atc() -> None:
    assert built_in_parents("ICD10CM/S72.001A") == ("ICD10CM/S72.001",)
    assert built_in_parents("ATC/A10BA02") == ("ATC/A10BA",)
    assert built_in_parents("ATC/A") == ()
    assert built_in_parents("LOINC/4548-4") == ()
