"""In: invented hourly records. Out: moments and events trained a second, beside the machine's matmul peak."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from residency.contract.lineage import Manifest, Rows
from residency.contract.packed import DAY, STATIC, Packed
from residency.model import ModelSpec
from residency.model.batches import plan
from residency.model.fitting import begin, setup
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


def peak_gflops() -> float:
    """Measure the best of a few square float32 multiplications."""
    a, b, best = torch.randn(2048, 2048), torch.randn(2048, 2048), 0.0
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began) / 1e9)
    return best


def main() -> None:
    """Train each size for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patients", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data, peak = timelines(asked.patients), peak_gflops()
    print(f"matmul peak, float32, {asked.threads} threads: {peak:.0f} GFLOP/s")
    for size in ("tiny", "small", "base", "large"):
        spec = ModelSpec(size=size, threads=asked.threads)
        given = setup(data, spec, marginals(data, spec))
        training = begin(given, None)
        dense = sum(
            p.numel() for n, p in training.network.named_parameters() if n.startswith(("encoder.", "trunk."))
        )
        dense -= training.network.encoder.table.numel()
        moments = events = step = 0
        began = time.perf_counter()
        while time.perf_counter() - began < asked.seconds:
            pieces = plan(data, "train", spec, np.random.default_rng(step))
            piece = pieces[step % len(pieces)]
            batch = given.collator.collate(data.shards[0], piece, np.random.default_rng(step), drop=True)
            training.step(batch, done=0.5, shard=0, draw=step)
            moments, events, step = moments + len(batch.inputs.bag), events + batch.n_events, step + 1
        seconds = time.perf_counter() - began
        flops = 6.0 * dense * moments / seconds / 1e9
        print(
            f"{size:6} {dense / 1e6:5.2f} M dense parameters: {moments / seconds:8,.0f} moments/s,"
            f" {events / seconds:9,.0f} events/s,"
            f" {flops:5.1f} GFLOP/s in the trunk ({flops / peak:.0%} of peak)"
        )


if __name__ == "__main__":
    main()
