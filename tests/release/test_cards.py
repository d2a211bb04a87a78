"""Cards: written from measurements; what only a person can say is asked for."""

from pathlib import Path

from residency.release import verify


def test_a_card_shows_the_measured_figures_with_intervals_and_the_baseline(bundle: Path) -> None:
    text = (bundle / "content" / "model_card.md").read_text("utf-8")
    assert "| auroc | 0.820 (0.790 to 0.850) | 0.800 (0.770 to 0.830) | 0.020 (0.000 to 0.040) |" in text
    assert "**Too few events: cannot tell.**" in text
    assert "All patients were simulated" in text
    assert "Not a cleared medical device" in text


def test_a_card_asks_for_what_only_a_person_can_say(bundle: Path) -> None:
    card = verify(bundle).card
    assert card.stated == {}
    assert card.to_be_stated["intended_use"] == "to be stated by the release board"
    assert len(card.to_be_stated) == 13


def test_a_card_names_what_was_refused_and_why(bundle: Path) -> None:
    (refused,) = verify(bundle).card.allow_list.refused
    assert refused.task == "sepsis_6h"
    assert any(reason.startswith("discrimination@1: fail") for reason in refused.reasons)


def test_markup_in_what_people_state_is_inert() -> None:
    from residency.release.cards import _inert

    assert _inert("<script>x</script> | [a](b)\nc") == "&lt;script&gt;x&lt;/script&gt; \\| \\[a](b) c"
