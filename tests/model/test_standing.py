"""What stands in the record at each row."""

from dataclasses import replace

import numpy as np
import torch

from residency.contract.packed import Packed
from residency.model.inputs import Attached, Inputs, Reader, whole
from residency.model.layout import layout
from residency.model.moments import CLOCK_NUMBERS, clock_numbers
from residency.model.standing import gathered, n_features, n_numbers, standing_of
from residency.timeline import Timelines

WIDTH = 3


def read(data: Timelines, patients: np.ndarray) -> tuple[Packed, Inputs]:
    packed = data.shards[0]
    _, inputs = Reader(data.vocabulary, layout(data.vocabulary, np.arange(1, 6))).read(
        packed, whole(packed, patients)
    )
    return packed, inputs


def attached(rows: list[int], vector: torch.Tensor, n_rows: int, ends: np.ndarray) -> Attached:
    """What `Reader` gives where the moments of some rows have one vector each."""
    latest = np.array([max((g for g, r in enumerate(rows) if r <= row), default=-1) for row in range(n_rows)])
    window = np.searchsorted(ends, np.arange(n_rows), "right")
    known = (latest >= 0) & (window[np.array(rows)[latest]] == window)
    at = torch.tensor(rows)
    number = torch.arange(len(rows))
    held = torch.from_numpy(np.where(known, latest, -1))
    return Attached(vector, number, at, held, held, torch.zeros(n_rows))


def test_a_row_knows_the_last_attachment_of_its_own_patient_and_no_other(data: Timelines) -> None:
    packed, inputs = read(data, np.arange(4))
    begin = np.cumsum([0, *np.diff(packed.moment_offset)[:4]])
    rows = [int(begin[0]) + 2, int(begin[0]) + 4, int(begin[2])]
    vector = torch.tensor([[2.0, 0, 0], [0, 5.0, 0], [0, 0, 7.0]])
    one = attached(rows, vector, int(begin[4]), begin[1:])
    latest = standing_of(replace(inputs, attached={"note": one}), {"note": WIDTH}).latest["note"]
    known = latest.vector[latest.at].tolist()
    for row in range(begin[4]):
        if begin[0] + 2 <= row < begin[0] + 4:
            assert known[row] == [2.0, 0, 0]
        elif begin[0] + 4 <= row < begin[1]:
            assert known[row] == [0, 5.0, 0]
        elif begin[2] <= row < begin[3]:
            assert known[row] == [0, 0, 7.0]
        else:
            assert known[row] == [0, 0, 0]
            assert latest.at[row] == 0


def test_a_batch_without_attachments_has_as_many_numbers(data: Timelines) -> None:
    _, inputs = read(data, np.arange(3))
    features = standing_of(inputs, {"note": WIDTH}).features(torch.arange(2), torch.zeros(2))
    assert features.shape == (2, n_features((5, inputs.rank.shape[1]), {"note": WIDTH}))
    assert (features[:, -WIDTH - 1 :] == 0).all()


def test_the_clock_and_plain_numbers_lie_before_the_features(data: Timelines) -> None:
    _, inputs = read(data, np.arange(3))
    record, rows = standing_of(inputs, {"note": WIDTH}), torch.arange(len(inputs.place))
    hours = torch.ones(len(rows))
    numbers, features = record.numbers(rows, hours), record.features(rows, hours)
    n = n_numbers((5, record.n_valued), {"note": WIDTH})
    assert numbers.shape == (len(rows), CLOCK_NUMBERS + n)
    clock = clock_numbers(inputs.clock + torch.tensor([1.0, 1.0, 1 / 8766]))
    assert torch.equal(numbers[:, :CLOCK_NUMBERS], clock)
    assert torch.equal(numbers[:, -features.shape[1] :], features)
    own = numbers[:, CLOCK_NUMBERS:][:, : record.n_valued] / 4 + 0.5
    torch.testing.assert_close(own, torch.nan_to_num(inputs.rank, nan=0.5))


def test_records_of_batches_come_together_as_those_of_one(data: Timelines) -> None:
    kinds = {"note": WIDTH}
    packed, every = read(data, np.arange(4))
    begin = np.cumsum([0, *np.diff(packed.moment_offset)[:4]])
    rng = np.random.default_rng(0)
    vector = torch.from_numpy(rng.normal(size=(4, WIDTH)).astype(np.float32))
    all_rows = [int(row) + 1 for row in begin[:4]]
    whole_one = replace(every, attached={"note": attached(all_rows, vector, int(begin[4]), begin[1:])})
    parts = []
    for patient in (2, 0, 3, 1):
        _, alone = read(data, np.array([patient]))
        n_rows = int(begin[patient + 1] - begin[patient])
        one = attached([1], vector[[patient]], n_rows, np.array([n_rows]))
        mine = replace(alone, attached={"note": one})
        parts.append((torch.arange(begin[patient], begin[patient + 1]), standing_of(mine, kinds)))
    rows = torch.arange(int(begin[4]))
    together = gathered(parts, int(begin[4])).numbers(rows, torch.zeros(len(rows)))
    assert torch.equal(together, standing_of(whole_one, kinds).numbers(rows, torch.zeros(len(rows))))


def test_a_record_asked_about_later_is_older_by_as_much(data: Timelines) -> None:
    _, inputs = read(data, np.arange(3))
    rows, clock = torch.arange(len(inputs.place)), inputs.clock + torch.tensor([5.0, 5.0, 5 / 8766])
    later = replace(inputs, hours=inputs.hours + 5.0, clock=clock)
    asked = standing_of(inputs, {}).numbers(rows, torch.full((len(rows),), 5.0))
    assert torch.equal(asked, standing_of(later, {}).numbers(rows, torch.zeros(len(rows))))
    assert not torch.equal(asked, standing_of(inputs, {}).numbers(rows, torch.zeros(len(rows))))
