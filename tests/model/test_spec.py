"""The dial sets the rest."""

import pytest

from residency.contract import specs
from residency.contract.errors import SpecError
from residency.model import ModelSpec
from residency.model.spec import SIZES


def test_more_events_never_choose_a_smaller_network() -> None:
    widths = [ModelSpec().sized(n).shape.width for n in (0, 30_000, 2_000_000, 10**8, 10**10)]
    assert widths == sorted(widths)
    assert len(set(widths)) == len(SIZES)


def test_a_stated_size_stands_whatever_the_data() -> None:
    assert ModelSpec(size="small").sized(10**10).size == "small"


def test_passes_come_from_the_size_unless_stated() -> None:
    assert ModelSpec(size="tiny").passes_over(10_000) == SIZES["tiny"].passes
    assert ModelSpec(size="tiny").passes_over(1) > 100
    assert ModelSpec(size="tiny", passes=7).passes_over(1) == 7


@pytest.mark.parametrize(
    "wrong", [{"size": "vast"}, {"context": 1}, {"threads": 0}, {"device": "tpu"}, {"passes": -1}]
)
def test_a_spec_with_nonsense_is_refused(wrong: dict) -> None:
    with pytest.raises(SpecError):
        specs.read(ModelSpec, wrong)
