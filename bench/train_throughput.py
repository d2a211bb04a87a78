"""In: invented hourly records. Out: moments and events trained a second, beside the machine's matmul peak.

Seconds are of the processor. Counted are the multiplications and additions of a step's matrix products, there
and back, as PyTorch counts them: no window is padded here, nothing is worked out twice, so all are useful.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from residency.contract.lineage import Manifest, Rows
from residency.contract.packed import DAY, STATIC, Packed
from residency.model import ModelSpec
from residency.model.batches import Batch, plan
from residency.model.fitting import Setup, Training, begin, losses, setup, total
from residency.model.marginals import marginals
from residency.timeline import Timelines, Vocabulary

N_CODES, HOURS, EVENTS = 40, 40, 9


def timelines(n_patients: int) -> Timelines:
    """Invent patients with one moment an hour and about nine values in each; no file is written."""
    rng = np.random.default_rng(0)
    n_moments = n_patients * (HOURS + 1)
    per_moment = rng.poisson(EVENTS, n_moments)
    per_moment[:: HOURS + 1] = 0
    event_offset = np.concatenate([[0], np.cumsum(per_moment)])
    n_events = int(event_offset[-1])
    time_of = np.tile(np.arange(-1, HOURS) * (DAY // 24), n_patients)
    time_of[:: HOURS + 1] = STATIC
    nothing = np.zeros(0, np.int64)
    packed = Packed(
        subject=np.arange(n_patients),
        moment_offset=np.arange(n_patients + 1) * (HOURS + 1),
        moment_time=time_of,
        event_offset=event_offset,
        event_code=rng.integers(1, N_CODES, n_events).astype(np.int32),
        event_value=rng.normal(size=n_events).astype(np.float32),
        event_time=np.repeat(time_of, per_moment),
        event_ref=np.arange(n_events),
        attachment_offset=np.zeros(n_moments + 1, np.int64),
        attachment_kind=np.zeros(0, np.int8),
        attachment_ref=nothing,
        observation_offset=np.arange(n_patients + 1),
        observation_start=np.zeros(n_patients, np.int64),
        observation_end=np.full(n_patients, 2 * DAY),
        label_offset=np.zeros(n_patients + 1, np.int64),
        label_time=nothing,
        label_task=np.zeros(0, np.int16),
        label_value=np.zeros(0, np.float32),
    )
    return Timelines(
        folder=Path(),
        manifest=Manifest(
            format=1, step="build", made_from=(), spec={}, code_version="", rows=Rows(), shards=()
        ),
        paths=(),
        shards=(packed,),
        vocabulary=_vocabulary(),
        labels=(),
        _splits=(np.array(["train"] * n_patients),),
        _sites=(np.array(["north"] * n_patients),),
    )


def _vocabulary() -> Vocabulary:
    knots = np.linspace(-2.5, 2.5, 17, dtype=np.float32)
    return Vocabulary(
        codes=("UNKNOWN", *(f"LOCAL/{code}" for code in range(1, N_CODES))),
        descriptions=("",) * N_CODES,
        units=(None,) * N_CODES,
        n_patients=np.full(N_CODES, 1000),
        n_events=np.full(N_CODES, 10_000),
        ancestor_offset=np.zeros(N_CODES + 1, np.int64),
        ancestor_index=np.zeros(0, np.int32),
        knot_offset=np.arange(N_CODES + 1) * 17,
        knots=np.tile(knots, N_CODES),
        levels=np.tile(np.linspace(0, 1, 17, dtype=np.float32), N_CODES),
        also={},
    )


def peak_gflops(threads: int) -> float:
    """Measure the best of a few square float32 multiplications."""
    a, b, best = torch.randn(2048, 2048), torch.randn(2048, 2048), 0.0
    for _ in range(8):
        began = time.process_time()
        a @ b
        best = max(best, 2 * 2048**3 / (time.process_time() - began) * threads / 1e9)
    return best


def read(given: Setup, n: int) -> Batch:
    """Read the batch of one step."""
    pieces = plan(given.data, "train", given.spec, np.random.default_rng(n))
    return given.collator.collate(
        given.data.shards[0], pieces[n % len(pieces)], np.random.default_rng(n), drop=True
    )


def useful(training: Training, batch: Batch) -> float:
    """Count what the matrix products of one step multiply and add."""
    with FlopCounterMode(display=False) as counted:
        total(losses(training.network, training.given, batch)).backward()
    training.optimiser.zero_grad(set_to_none=True)
    return float(counted.get_total_flops())


def line(size: str, seconds: float, patients: int, threads: int) -> str:
    """Train a size for some seconds and say how fast it was."""
    data = timelines(patients)
    spec = ModelSpec(size=size, threads=threads)
    given = setup(data, spec, marginals(data, spec))
    training = begin(given, None)
    flops = useful(training, read(given, 0))
    moments = events = step = 0
    reading, began = 0.0, time.process_time()
    while time.process_time() - began < seconds:
        at = time.process_time()
        batch = read(given, step)
        reading += time.process_time() - at
        training.step(batch, done=0.5, shard=0, draw=step)
        moments, events, step = moments + len(batch.inputs.bag), events + batch.n_events, step + 1
    took = (time.process_time() - began) / threads
    n_weights = sum(weight.numel() for weight in training.network.parameters())
    rate, peak = flops * step / took / 1e9, peak_gflops(threads)
    return (
        f"{size:6} width {spec.shape.width}, {n_weights / 1e6:6.2f} M parameters, batches of"
        f" {moments // step:,} moments: {moments / took:8,.0f} moments/s, {events / took:9,.0f} events/s,"
        f" {rate:5.1f} of {peak:.1f} GFLOP/s ({rate / peak:.0%}); reading {reading / threads / took:.0%}"
    )


def main() -> None:
    """Train each size for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small", "base", "large", "huge"])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--patients", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for size in asked.sizes:
        print(line(size, asked.seconds, asked.patients, asked.threads), flush=True)


if __name__ == "__main__":
    main()
