"""Notes, images and genomes among the moments of invented patients."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.contract.errors import SchemaError
from residency.contract.lineage import open_made
from residency.contract.packed import STATIC, Packed
from residency.timeline import (
    Attachments,
    Timelines,
    build,
    concatenate,
    pack,
    packing_of,
    take,
    until,
    without,
)

LAB = "LOINC/2160-0"
NOTE, IMAGE, GENOME = 0, 1, 2
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHEN = st.one_of(st.none(), st.integers(0, 9))
WHO = st.integers(1, 3)
EVENT = st.tuples(
    WHO, WHEN, st.sampled_from([LAB, "ICD10CM/E11"]), st.just(1.0), st.just("mg/dL"), st.integers(0, 3)
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "notes": st.lists(
            st.tuples(WHO, WHEN, st.integers(0, 4), st.sampled_from(["a cough", "well"])), max_size=8
        ),
        "images": st.lists(st.tuples(WHO, WHEN, st.sampled_from(["dark", "bright"])), max_size=5),
        "variants": st.lists(
            st.tuples(WHO, WHEN, st.sampled_from(["lab/1", "lab/2"]), st.integers(1, 4)), max_size=8
        ),
    }
)
EVENTS = st.lists(EVENT, min_size=1, max_size=15)


def same(one: Packed, two: Packed, but: tuple[str, ...] = ()) -> bool:
    names = [field.name for field in fields(Packed) if field.name not in but]
    return all(np.array_equal(getattr(one, n), getattr(two, n), equal_nan=n == "event_value") for n in names)


def told(packed: Packed, attachments: Attachments) -> list[tuple]:
    """Give every attachment as (subject, moment's time, kind, content), in order."""
    moment = np.repeat(np.arange(packed.n_moments), np.diff(packed.attachment_offset))
    owner = np.searchsorted(packed.moment_offset, moment, "right") - 1
    return [
        (
            int(packed.subject[p]),
            int(packed.moment_time[m]),
            int(kind),
            attachments.digests(int(kind), np.array([ref]))[0],
        )
        for p, m, kind, ref in zip(owner, moment, packed.attachment_kind, packed.attachment_ref, strict=True)
    ]


@QUICK
@given(rows=EVENTS, documents=DOCUMENTS)
def test_each_attachment_is_at_the_moment_at_which_it_was_available(
    events, us, vocabulary, attached, rows, documents
) -> None:
    packing = packing_of(events(rows), vocabulary, attachments=attached(**documents))
    people = {row[0] for row in rows}
    at = lambda day, wait=0: STATIC if day is None else us(day + wait)  # noqa: E731
    expected = [(p, at(day, wait), NOTE) for p, day, wait, _ in documents["notes"]]
    expected += [(p, at(day), IMAGE) for p, day, _ in documents["images"]]
    genomes: dict[tuple, int] = {}
    for p, day, source, _ in documents["variants"]:
        genomes[p, source] = max(genomes.get((p, source), STATIC), at(day))
    expected += [(p, time, GENOME) for (p, _), time in genomes.items()]
    found = [row[:3] for row in told(packing.packed, packing.attachments)]
    assert found == sorted(row for row in expected if row[0] in people)
    lost = packing.dropped["attachment of a patient without events"]
    assert lost == sum(row[0] not in people for row in expected)


@QUICK
@given(rows=EVENTS, documents=DOCUMENTS, seed=st.integers(0, 99))
def test_the_order_of_rows_of_documents_changes_nothing(
    events, vocabulary, attached, rows, documents, seed
) -> None:
    made = attached(**documents)
    mixed = [table.drop("content").sample(fraction=1.0, shuffle=True, seed=seed) for table in made.tables]
    again = Attachments.of(notes=mixed[0], images=mixed[1], variants=mixed[2], pixels=made.pixels)
    one = packing_of(events(rows), vocabulary, attachments=made)
    two = packing_of(events(rows), vocabulary, attachments=again)
    assert same(one.packed, two.packed)
    assert told(one.packed, one.attachments) == told(two.packed, two.attachments)


@QUICK
@given(rows=EVENTS, documents=DOCUMENTS, day=st.integers(0, 14))
def test_the_cut_takes_away_what_was_not_available(
    events, us, vocabulary, attached, rows, documents, day
) -> None:
    packing = packing_of(events(rows), vocabulary, attachments=attached(**documents))
    cut = until(packing.packed, us(day))
    everything = told(packing.packed, packing.attachments)
    assert told(cut, packing.attachments) == [row for row in everything if row[1] <= us(day)]


@QUICK
@given(rows=EVENTS, documents=DOCUMENTS, gone=st.lists(st.booleans(), min_size=9, max_size=9))
def test_without_some_kinds_is_as_though_they_had_never_been(
    events, vocabulary, attached, rows, documents, gone
) -> None:
    packing = packing_of(events(rows), vocabulary, attachments=attached(**documents))
    packed = packing.packed
    lacking = np.array(gone).reshape(3, 3)[: packed.n_patients]
    left, kept = without(packed, lacking)
    chosen = packing.attachments.rows
    owner = np.searchsorted(packed.subject, chosen["subject_id"].to_numpy())
    fewer = packing.attachments.keep(~lacking[owner, chosen["kind"].to_numpy()])
    never = packing_of(events(rows), vocabulary, attachments=fewer)
    assert same(left, never.packed, but=("attachment_ref",))
    assert told(left, packing.attachments) == told(never.packed, never.attachments)
    assert np.array_equal(packed.moment_time[kept], left.moment_time)


@QUICK
@given(rows=EVENTS, documents=DOCUMENTS)
def test_documents_change_no_event(events, vocabulary, attached, rows, documents) -> None:
    bare = pack(events(rows), vocabulary)
    packed = pack(events(rows), vocabulary, attachments=attached(**documents))
    left, _ = without(packed, np.ones((packed.n_patients, 3), bool))
    assert same(left, bare)


def test_a_patient_taken_apart_keeps_the_attachments(events, vocabulary, attached) -> None:
    rows = [(p, 1, LAB, 1.0, "mg/dL", 0) for p in (1, 2, 3)]
    made = attached([(p, 2, 1, "a cough") for p in (1, 2, 3)], [(2, 5, "dark")])
    packing = packing_of(events(rows), vocabulary, attachments=made)
    apart = concatenate([take(packing.packed, np.array([row])) for row in range(3)])
    assert same(apart, packing.packed)
    assert len(told(take(packing.packed, np.array([1])), packing.attachments)) == 2


def test_what_was_known_at_birth_is_in_the_first_moment_and_what_lies_far_before_is_dropped(
    events, us, vocabulary, attached
) -> None:
    made = attached([(1, 0, 0, "a cough"), (1, -1000, 0, "well")])
    packing = packing_of(events([(1, 3, "MEDS_BIRTH", None, None, 0)]), vocabulary, attachments=made)
    assert [row[1:3] for row in told(packing.packed, packing.attachments)] == [(us(3), NOTE)]
    assert packing.dropped["attachment before birth"] == 1
    assert len(packing.attachments.tables[NOTE]) == 1


def test_a_note_without_text_and_an_image_without_pixels_are_counted_drops(attached) -> None:
    made = attached([(1, 1, 0, "  "), (1, 1, 0, None)], [(1, 1, None), (1, 1, "unheard of")])
    assert len(made) == 0
    assert made.dropped == {"note without text": 2, "image without pixels": 2}


def test_contents_are_what_was_packed(attached) -> None:
    made = attached(
        [(1, 1, 0, "a cough")], [(1, 1, "bright")], [(1, None, "a", 5), (1, None, "b", 7), (1, None, "a", 6)]
    )
    assert made.contents(NOTE, [0])[0].text == "a cough"
    image = made.contents(IMAGE, [0])[0]
    assert image.pixels.tolist() == [[[1, 1], [1, 1]]]
    assert np.isnan(image.spacing_mm[0])
    assert image.spacing_mm[1:] == (0.5, 0.5)
    assert np.isnan(image.window).all()
    assert [genome.rows["position"].to_list() for genome in made.contents(GENOME, [0, 2])] == [[5, 6], [7]]


def test_equal_contents_have_equal_digests_whoever_they_are_of(attached) -> None:
    made = attached(
        [(1, 1, 0, "a cough"), (2, 5, 0, "a cough"), (2, 6, 0, "well")],
        [(1, 1, "dark"), (2, 3, "dark")],
        [(1, None, "a", 5), (1, None, "a", 6), (2, 4, "b", 6), (2, 4, "b", 5), (3, 4, "c", 5)],
    )
    notes, images = made.digests(NOTE, np.arange(3)), made.digests(IMAGE, np.arange(2))
    genomes = made.digests(GENOME, np.array([0, 2, 4]))
    assert notes[0] == notes[1] != notes[2]
    assert images[0] == images[1]
    assert genomes[0] == genomes[1] != genomes[2]


def test_a_table_that_lacks_a_column_is_refused() -> None:
    with pytest.raises(SchemaError, match="text"):
        Attachments.of(notes=pl.DataFrame({"subject_id": [1]}))


def test_a_built_folder_gives_back_every_attachment(
    events, us, vocabulary, attached, records, tmp_path: Path, now
) -> None:
    rows = [[(p, 1, LAB, 1.0, "mg/dL", 0) for p in people] for people in ((1, 2), (5, 6))]
    documents = {
        "notes": [(1, 1, 0, "a cough"), (5, 2, 2, "well"), (3, 2, 2, "a stranger's"), (6, 2, 2, "")],
        "images": [(6, 2, "bright"), (6, 3, "lost")],
        "variants": [(5, None, "lab/1", 4), (5, None, "lab/1", 3), (9, None, "lab/1", 3)],
    }
    source = records([events(part) for part in rows], documents=documents)
    manifest = build(source, tmp_path / "out", now=now)
    assert (manifest.result["notes"], manifest.result["images"], manifest.result["genomes"]) == (2, 1, 1)
    assert manifest.rows.dropped == {
        "note without text": 1,
        "image without pixels": 1,
        "attachment of a patient without events": 2,
    }
    assert manifest.rows.read == manifest.rows.kept + 4 == 12
    timelines = Timelines.open(tmp_path / "out")
    all_told = [told(packed, timelines.attachments(n)) for n, packed in enumerate(timelines.shards)]
    assert [row[:3] for part in all_told for row in part] == [
        (1, us(1), NOTE),
        (5, STATIC, GENOME),
        (5, us(4), NOTE),
        (6, us(2), IMAGE),
    ]
    second = timelines.attachments(1)
    assert second.contents(IMAGE, [0])[0].pixels.max() == 1
    assert second.contents(GENOME, [0])[0].rows["position"].to_list() == [3, 4]
    assert not (timelines.paths[0] / "images.parquet").exists()


def test_the_pixel_store_is_carried_along_by_a_second_name(events, records, tmp_path: Path, now) -> None:
    source = records([events([(1, 1, LAB, 1.0, "mg/dL", 0)])], documents={"images": [(1, 2, "bright")]})
    build(source, tmp_path / "out", now=now)
    manifest = open_made(tmp_path / "out", verify=True)
    (listed,) = [shard for shard in manifest.shards if shard.path.startswith("pixels/")]
    (original,) = (source / "images" / "pixels").iterdir()
    assert (tmp_path / "out" / listed.path).samefile(original)
    assert listed.rows == 2


def test_data_without_documents_are_packed_as_before(events, records, tmp_path: Path, now) -> None:
    manifest = build(records([events([(1, 1, LAB, 1.0, "mg/dL", 0)])]), tmp_path / "out", now=now)
    assert not {"notes", "images", "genomes"} & manifest.result.keys()
    shard = Timelines.open(tmp_path / "out").paths[0]
    assert {path.suffix for path in shard.iterdir()} == {".npy", ".json", ".parquet"}
    assert [path.name for path in shard.glob("*.parquet")] == ["source.parquet"]
