import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.timeline import events_of, moment_of_event, occurrences, pack, patient_of_moment

LAB = "LOINC/2160-0"
ROW = st.tuples(
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from([LAB, "ICD10CM/E11.9", "ICD10CM/E11", "MEDS_DEATH"]),
    st.none(),
    st.none(),
    st.just(0),
)
# codes UNKNOWN, MEDS_BIRTH, MEDS_DEATH, E11, E11.9, LAB count for targets: death 0, E11 1, E11.9 2
OFFSET = np.array([0, 0, 0, 1, 2, 4, 4])
INDEX = np.array([0, 1, 1, 2], np.int32)
TARGETS = {"MEDS_DEATH": (0,), "ICD10CM/E11": (1,), "ICD10CM/E11.9": (1, 2), LAB: ()}
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(rows=st.lists(ROW, max_size=20))
def test_occurrences_are_what_a_loop_finds(events, us, vocabulary, rows) -> None:
    packed = pack(events(rows), vocabulary)
    found = occurrences(packed, OFFSET, INDEX, 3)
    slow = sorted({(patient, target, us(day)) for patient, day, code, *_ in rows for target in TARGETS[code]})
    got = zip(packed.subject[found.patient].tolist(), found.target.tolist(), found.time.tolist(), strict=True)
    assert list(got) == slow
    before = [
        next((one for one in reversed(slow[:place]) if one[:2] == this[:2]), None)
        for place, this in enumerate(slow)
    ]
    times = [None if moment < 0 else int(packed.moment_time[moment]) for moment in found.previous]
    assert times == [None if one is None else one[2] for one in before]
    assert packed.moment_time[found.moment].tolist() == found.time.tolist()


@QUICK
@given(
    rows=st.lists(ROW, max_size=20),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-1, 10)), max_size=9),
)
def test_the_occurrences_around_an_instant_are_the_nearest(events, us, vocabulary, rows, asked) -> None:
    packed = pack(events(rows), vocabulary)
    asked = [query for query in asked if query[0] < packed.n_patients]
    found = occurrences(packed, OFFSET, INDEX, 3)
    patient, target, day = (np.array([query[part] for query in asked], np.int64) for part in range(3))
    as_of = np.array([us(int(one)) for one in day], np.int64)
    around = found.around(patient, target, as_of)
    for place in range(len(asked)):
        mine = np.flatnonzero((found.patient == patient[place]) & (found.target == target[place]))
        past, future = mine[found.time[mine] <= as_of[place]], mine[found.time[mine] > as_of[place]]
        assert around.previous[place] == (past[-1] if len(past) else -1)
        assert around.following[place] == (future[0] if len(future) else -1)


def test_the_events_of_a_patient_are_theirs_alone(events, us, vocabulary) -> None:
    packed = pack(
        events([(1, 1, LAB, 1.0, "mg/dL", 0), (2, 2, LAB, 2.0, "mg/dL", 1), (2, 4, LAB, 3.0, "mg/dL", 0)]),
        vocabulary,
    )
    mine = events_of(packed, 1)
    assert mine.value.tolist() == [2.0, 3.0]
    assert mine.time.tolist() == [us(2), us(4)]
    assert mine.available.tolist() == [us(3), us(4)]
    assert mine.moment.tolist() == [3, 4]
    assert moment_of_event(packed).tolist() == [1, 3, 4]
    assert patient_of_moment(packed).tolist() == [0, 0, 1, 1, 1]
