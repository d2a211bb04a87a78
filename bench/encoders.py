"""In: timelines with attachments. Out: notes, sentences, images and genomes encoded a second.

python bench/encoders.py work/timelines --threads 1
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from residency.contract.packed import ATTACHMENT_KINDS
from residency.model.checkpoint import write_tensors
from residency.model.encoders.facts import rules
from residency.model.encoders.image import ImageEncoder, Look
from residency.model.encoders.learning import LEARNED_FILE
from residency.model.encoders.minilm import MiniLm
from residency.model.encoders.note import NoteEncoder
from residency.model.encoders.sentences import sentences_of
from residency.model.encoders.variants import VariantsEncoder
from residency.timeline import Timelines

AT_ONCE = 256


def timed(what: Callable[[], object]) -> tuple[float, float]:
    """Give seconds by the wall, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - wall, time.process_time() - processor


def looking() -> ImageEncoder:
    """Give an image encoder with weights of no meaning."""
    encoder = ImageEncoder()
    with TemporaryDirectory() as folder:
        write_tensors(Path(folder) / LEARNED_FILE, dict(Look().named_parameters()), {"format": "pt"})
        encoder.load(Path(folder), "cpu")
    return encoder


def rows(data: Timelines, most: int) -> Iterator[tuple[str, int, tuple[float, float]]]:
    """Give (what, how many, seconds) for each thing that is encoded."""
    attachments = data.attachments(0)
    contents = {}
    for kind, name in enumerate(ATTACHMENT_KINDS):
        refs = attachments.rows.filter(kind=kind)["ref"].to_numpy()
        contents[name] = attachments.contents(kind, refs[:most])
    notes = contents["note"]
    split = [sentence for note in notes for sentence in sentences_of(note.text, rules().headings)]
    yield (
        "notes split into sentences",
        len(notes),
        timed(lambda: [sentences_of(note.text, rules().headings) for note in notes]),
    )
    yield "sentences searched for facts", len(split), timed(lambda: [rules().facts(one) for one in split])
    unique = list(dict.fromkeys(one.text for one in split))[:2000]
    meaning = MiniLm()
    yield "sentences through the sentence encoder", len(unique), timed(lambda: meaning.encode(unique))
    for name, encoder in (("note", NoteEncoder()), ("image", looking()), ("variants", VariantsEncoder())):
        batch = contents[name]
        parts = [batch[start : start + AT_ONCE] for start in range(0, len(batch), AT_ONCE)]
        if parts:
            yield (
                f"{name}: whole encoder",
                len(batch),
                timed(lambda e=encoder, p=parts: [e.encode(x) for x in p]),
            )
    print(f"{len(split)} sentences, {len({one.text for one in split})} different")


def main() -> None:
    """Time every encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("timelines", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most", type=int, default=2000)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    np.set_printoptions(precision=1)
    for what, n, (wall, processor) in rows(Timelines.open(given.timelines), given.most):
        print(f"{what}: {n:,} in {wall:.1f} s, {n / wall:,.0f} a second; processor {processor:.1f} s")


if __name__ == "__main__":
    main()
