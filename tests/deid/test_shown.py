from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from residency.contract.errors import InputError
from residency.contract.identifiers import pseudonym_of, subject_id_of
from residency.contract.schema import EVENTS, VARIANTS
from residency.deid import Policy, Shown, Tables, VariantsRules, read_key, transform
from residency.deid.people import people_of
from residency.deid.rare import local_codes, rare_codes
from residency.deid.variants import counted, hide_variants, rare_variants

NOW = datetime(2024, 1, 1, tzinfo=UTC)
N = 14
MANY, FEW = 12, 3
PLACES = {"TPMT": 18130687, "CYP2C19": 94781859, "DPYD": 97450058, "NUDT15": 48037782}


def subject(n: int) -> int:
    return subject_id_of(f"p{n}", "north")


def variants() -> pl.DataFrame:
    """Give variants that many have, that few have, that few have and a list names, and one not allowed."""
    kinds = [("TPMT", None, MANY), ("DPYD", None, FEW), ("CYP2C19", "CYP2C19*1/*2", FEW), ("BRCA9", None, N)]
    found = [
        dict.fromkeys(VARIANTS.names)
        | {"subject_id": subject(n), "time": datetime(2010, 1, 1), "available": datetime(2010, 1, 1)}  # noqa: DTZ001
        | {"source": f"Genome/{n}", "assembly": "GRCh38", "chromosome": "chr1", "reference": "A"}
        | {"alternate": "G", "genotype": "0/1", "gene": gene, "name": name, "position": PLACES.get(gene, 5)}
        for n in range(N)
        for gene, name, many in kinds
        if n < many
    ]
    return pl.DataFrame(pl.from_arrow(pa.Table.from_pylist(found, schema=VARIANTS)))


@pytest.fixture
def events(patient, rows) -> pa.Table:
    """Give events with codes of a source's own, one that many have and one that few have."""
    found = [row for n in range(N) for row in patient(f"p{n}")]
    for n in range(N):
        for code, many in (("LOCAL/common", MANY), ("LOCAL/Jane Doe", FEW)):
            if n < many:
                found.append(
                    {"subject_id": subject(n), "code": code, "time": "2010-05-01", "site": "north"}
                    | {"numeric_value": 7.0, "unit": "mg"}
                )
    return rows(found)


@pytest.fixture
def shown(events, policy) -> Shown:
    return Shown.of([local_codes(events, policy)], [counted(variants(), policy)], policy)


def test_a_request_shows_what_the_data_set_shows_of_the_same_patient(events, policy, shown) -> None:
    key = read_key(policy)
    rare = rare_codes([local_codes(events, policy)], policy)
    few = rare_variants([counted(variants(), policy)], policy)
    batch = pl.DataFrame(pl.from_arrow(transform(Tables(events), policy, key, rare).tables.events))
    frame = pl.DataFrame(pl.from_arrow(events))
    everyone = people_of(frame["subject_id"].unique().sort().to_numpy(), frame, policy, key)
    genomes = hide_variants(variants(), everyone, policy, key, few).table
    for n in range(N):
        mine = pl.col("subject_id") == subject(n)
        alone = transform(
            Tables(
                frame.filter(mine).to_arrow().cast(EVENTS),
                variants=variants().filter(mine).to_arrow().cast(VARIANTS),
            ),
            policy,
            key,
            shown=shown,
        )
        here = pl.col("subject_id") == pseudonym_of(key, subject(n))
        assert pl.DataFrame(pl.from_arrow(alone.tables.events)).equals(batch.filter(here))
        assert pl.DataFrame(pl.from_arrow(alone.tables.variants)).equals(genomes.filter(here))
    assert batch["code"].is_in(["UNKNOWN"]).sum() == FEW
    assert genomes["gene"].value_counts(sort=True)["count"].to_list() == [MANY, FEW]


def test_what_is_kept_of_a_data_set_is_what_enough_patients_have(shown) -> None:
    assert shown.codes == {"LOCAL/common"}
    assert sorted(shown.variants["position"]) == sorted((PLACES["TPMT"], PLACES["CYP2C19"]))


def test_it_is_read_as_it_was_written_and_nothing_else_is(shown, tmp_path) -> None:
    shown.write(tmp_path / "shown.json")
    again = Shown.read(tmp_path / "shown.json")
    assert again.codes == shown.codes
    assert again.variants.equals(shown.variants)
    assert b"Doe" not in (tmp_path / "shown.json").read_bytes()
    (tmp_path / "shown.json").write_text('{"codes": 1}')
    with pytest.raises(InputError, match="shows"):
        Shown.read(tmp_path / "shown.json")


def test_a_policy_that_hides_nothing_rare_hides_nothing_of_a_request(events, policy: Policy) -> None:
    open_ = replace(policy, rare_code_patients=1, variants=VariantsRules(rare_patients=1))
    nothing = Shown()
    assert nothing.rare_codes(events, open_) == frozenset()
    assert nothing.rare_variants(variants(), open_).is_empty()


def test_a_listed_variant_that_nobody_had_yet_is_shown(policy) -> None:
    hidden = Shown().rare_variants(variants(), policy)
    assert sorted(hidden["position"]) == sorted((PLACES["TPMT"], PLACES["DPYD"]))
