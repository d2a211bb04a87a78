"""Places in notes: from the text without identities back to the text as it came."""

from hypothesis import given
from hypothesis import strategies as st

from residency.serving.aligning import place_in

WORDS = st.lists(st.sampled_from(["seen", "by", "dr", "smokes", "no", "cough", "."]), min_size=6, max_size=30)


@given(words=WORDS, data=st.data())
def test_a_place_away_from_what_was_replaced_is_found_again(words: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(words) - 1))
    own = [*words[:at], "Achterberg-Lundqvist", *words[at:]]
    hidden = [*words[:at], "Li", *words[at:]]
    low = data.draw(st.integers(0, len(own) - 1))
    high = data.draw(st.integers(low, len(own) - 1))
    start = len(" ".join([*hidden[:low], ""]))
    end = len(" ".join(hidden[: high + 1]))
    found = place_in(" ".join(own), " ".join(hidden), start, end)
    assert " ".join(own)[slice(*found)] == " ".join(own[low : high + 1])


def test_the_same_text_has_the_same_places() -> None:
    text = "Feels well. Smokes daily. No cough."
    assert place_in(text, text, 12, 25) == (12, 25)


def test_what_has_no_word_is_the_whole_note() -> None:
    assert place_in("a b", "a b", 1, 2) == (0, 3)
