"""A trained model, opened: what it must give whatever it learned."""

import numpy as np

from residency.contract.packed import DAY
from residency.model import Model
from residency.timeline import Timelines, until


def test_prefixes_from_one_pass_equal_cut_then_ask(model: Model, data: Timelines) -> None:
    packed = data.shards[0]
    states = model.encode(packed)
    longest = int(np.diff(packed.moment_offset).max())
    assert longest > model.spec.context  # so that the sliding window is at work
    for number in (1, 2, model.spec.context, model.spec.context + 1, longest - 2):
        patients = np.flatnonzero(np.diff(packed.moment_offset) > number)
        moment = packed.moment_offset[patients] + number
        as_of = np.full(packed.n_patients, np.iinfo(np.int64).max)
        as_of[patients] = packed.moment_time[moment]
        cut = model.encode(until(packed, as_of), patients)
        alone = cut.z[cut.offset[1:] - 1]
        assert float((states.z[moment] - alone).abs().max()) < 1e-5
