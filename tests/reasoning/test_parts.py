"""Where in a note or an image: parts of the newest document, taken away one by one."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented_charts import at, events_of, notes_of, vocabulary_of

from residency.contract.digests import digest_of_voxels
from residency.contract.packed import Packed
from residency.contract.questions import Moved
from residency.reasoning.answers import microseconds
from residency.reasoning.evidence import Documents, Sources, evidence
from residency.reasoning.parts import PARTS, spans_of
from residency.timeline import Attachments, Image, Note, packing_of
from residency.timeline.attachments import IMAGE, NOTE

NAMES = [f"LOINC/{number}-0" for number in range(60)]
LONG = "He feels well today.\nHe has smoked for forty years.\nNo cough. No fever.\nSleeps well; eats well."
AS_OF = microseconds(at(5_000.0))


def holds(attachments: Attachments, packed: Packed, patient: int) -> float:
    """Give .6 where any note tells of smoking, .3 more where an image has something bright."""
    moments = packed.moments_of(patient)
    begin, end = packed.attachment_offset[[moments.start, moments.stop]]
    kinds, refs = packed.attachment_kind[begin:end], packed.attachment_ref[begin:end].astype(np.int64)
    notes = attachments.contents(NOTE, refs[kinds == NOTE])
    images = attachments.contents(IMAGE, refs[kinds == IMAGE])
    smokes = any("smoked" in one.text for one in notes if isinstance(one, Note))
    bright = any((one.pixels > 200).any() for one in images if isinstance(one, Image))
    return 0.6 * smokes + 0.3 * bright


def moved(attachments: Attachments, asked: list[int] | None = None) -> tuple[Moved, ...]:
    """Give the evidence of a patient with sixty codes and these documents."""
    events = events_of([(float(number), name) for number, name in enumerate(NAMES)])
    vocabulary = vocabulary_of(NAMES)
    packing = packing_of(events, vocabulary, attachments=attachments)
    assert packing.attachments is not None

    def reading(these: Attachments):
        def ask(packed: Packed, index) -> np.ndarray:
            if asked is not None:
                asked.append(len(index))
            return np.array([holds(these, packed, int(row)) for row in index.patient], np.float32)

        return ask

    documents = Documents(packing.attachments, (NOTE, IMAGE), reading)
    sources = Sources(vocabulary, events.select("source"), documents)
    return evidence(packing.packed, 0, AS_OF, ask=reading(packing.attachments), sources=sources)


def images_of(pixels: list[np.ndarray]) -> Attachments:
    """Give chest radiographs of the days 100, 101, …"""
    rows = [
        {
            "subject_id": 1,
            "time": at(100.0 + n),
            "available": at(100.0 + n),
            "source": f"ImagingStudy/{n}",
            "modality": "DX",
            "body_site": "CHEST",
            "pixels": digest_of_voxels(one),
        }
        for n, one in enumerate(pixels)
    ]
    return Attachments.of(images=pl.DataFrame(rows), pixels={digest_of_voxels(one): one for one in pixels})


def test_a_sentence_that_moves_the_model_is_cited_by_its_characters_though_other_notes_repeat_it() -> None:
    notes = [(3.0, "LOINC/11506-3", f"Seen again. {LONG}"), (80.0, "LOINC/11506-3", LONG)]
    asked: list[int] = []
    whole, part = moved(Attachments.of(notes=notes_of(notes)), asked)
    assert sum(asked) <= 20
    assert {whole.code, part.code} == {"LOINC/11506-3"}
    assert {whole.citation.source, part.citation.source} == {"DocumentReference/1"}
    assert whole.change == part.change == pytest.approx(-0.6)
    spans = [one.citation for one in (whole, part) if one.citation.start is not None]
    assert ["smoked" in LONG[one.start : one.end] for one in spans] == [True]
    assert len(LONG[spans[0].start : spans[0].end]) < len(LONG) / 2


@pytest.mark.parametrize("place", [(5, 5), (5, 25), (25, 5), (25, 25)])
def test_what_moves_the_model_in_an_image_is_cited_by_its_region(place: tuple[int, int]) -> None:
    row, column = place
    seen = np.full((1, 30, 40), 50, np.uint8)
    seen[0, row, column] = 250
    found = moved(images_of([np.full((1, 8, 8), 40, np.uint8), seen]))
    assert {one.code for one in found} == {"DX/CHEST"}
    assert {one.citation.source for one in found} == {"ImagingStudy/1"}
    assert all(one.change == pytest.approx(-0.3) for one in found)
    ((left, top, right, bottom),) = [one.citation.region for one in found if one.citation.region]
    assert top <= row / 30 < bottom
    assert left <= column / 40 < right


def test_a_document_that_moves_nothing_is_not_cited() -> None:
    assert moved(Attachments.of(notes=notes_of([(3.0, "LOINC/11506-3", "Feels well. Eats well.")]))) == ()


def test_documents_of_one_sort_go_together_and_those_of_another_stay() -> None:
    notes = [(3.0, "LOINC/11506-3", "He smoked."), (9.0, "LOINC/18842-5", "Home.")]
    found = moved(Attachments.of(notes=notes_of(notes)))
    assert [(one.code, one.citation.source) for one in found] == [("LOINC/11506-3", "DocumentReference/0")]


@given(text=st.text(alphabet="aB .\n;?", max_size=200))
def test_parts_of_a_note_are_few_in_order_apart_and_leave_no_letter_out(text: str) -> None:
    spans = spans_of(text)
    assert len(spans) <= PARTS
    assert all(low < high for low, high in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    if spans:
        outside = np.ones(len(text), bool)
        for low, high in spans:
            outside[low:high] = False
        assert not "".join(np.array(list(text))[outside]).strip()
