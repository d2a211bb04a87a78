"""In: a site's own timelines and a model. Out: the same timelines in the words that the model knows."""

import dataclasses

import numpy as np

from residency.contract.packed import UNKNOWN, Packed
from residency.model.opened import Model
from residency.timeline import Timelines


def in_words_of(data: Timelines, model: Model) -> Timelines:
    """Number codes and tasks as the model does; what it has no word for becomes `UNKNOWN`.

    A code that the model lacks is read as the nearest ancestor that both know. A value counts where the code
    is the model's own, in the unit that the model learned it in. Labels of tasks that the model lacks are
    left out.
    """
    if data.vocabulary.codes == model.vocabulary.codes and data.labels == model.labels:
        return data
    read, valued = _codes(data, model)
    shards = tuple(_translated(packed, read, valued, _tasks(data, model)) for packed in data.shards)
    return dataclasses.replace(data, shards=shards, vocabulary=model.vocabulary, labels=model.labels)


def _codes(data: Timelines, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Give, for each of the site's codes, the model's, and whether its values are the model's too."""
    own, known = data.vocabulary, model.vocabulary
    read, valued = np.full(len(own), UNKNOWN, np.int32), np.zeros(len(own), bool)
    for number, name in enumerate(own.codes):
        reading = known.reading_of(name)
        if reading.index == UNKNOWN:
            above = (known.index_of(own.codes[one]) for one in own.ancestors_of(number))
            read[number] = next((one for one in above if one != UNKNOWN), UNKNOWN)
        else:
            read[number] = reading.index
            valued[number] = reading.exact and own.units[number] == known.units[reading.index]
    return read, valued


def _tasks(data: Timelines, model: Model) -> np.ndarray:
    numbers = [model.labels.index(name) if name in model.labels else -1 for name in data.labels]
    return np.array(numbers or [-1], np.int16)


def _translated(packed: Packed, read: np.ndarray, valued: np.ndarray, tasks: np.ndarray) -> Packed:
    code, task = np.asarray(packed.event_code), tasks[np.asarray(packed.label_task)]
    kept = task >= 0
    before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    value = np.where(valued[code], packed.event_value, np.float32(np.nan))
    return packed.with_arrays(
        event_code=read[code],
        event_value=value.astype(np.float32),
        label_task=task[kept],
        label_time=np.asarray(packed.label_time)[kept],
        label_value=np.asarray(packed.label_value)[kept],
        label_offset=before[np.asarray(packed.label_offset)],
    )
