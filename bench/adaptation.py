"""In: a model of one hospital, another hospital's patients. Out: what 100, 500, 2,000 of these are worth.

Default: early sepsis, PhysioNet/CinC 2019, hospital A to B (`make cinc2019` first). Patients who teach and
patients who judge are apart by a hash of each; the fewer who teach are among the more.
"""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from residency.model import Model
from residency.model.adaptation import AdaptSpec, adapt, in_words_of
from residency.model.outcomes import labelled
from residency.model.planning.ladder import uniform
from residency.timeline import Timelines, take

DRAWS = 300


def judges(data: Timelines, site: str, n: int) -> list[tuple[int, np.ndarray]]:
    """Give the patients of the site with the highest hashes, shard by shard."""
    places = [
        (float(draw), shard, row)
        for shard, packed in enumerate(data.shards)
        for row, draw in enumerate(uniform(np.asarray(packed.subject)))
        if data.site(shard)[row] == site
    ]
    chosen = sorted(places, reverse=True)[:n]
    shards = sorted({shard for _, shard, _ in chosen})
    return [(shard, np.sort([row for _, at, row in chosen if at == shard])) for shard in shards]


def told(model: Model, data: Timelines, who: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Give patient, label and probability of every labelled hour of the first task."""
    rows = []
    for shard, patients in who:
        for part in np.array_split(patients, max(1, len(patients) // 500)):
            small = take(data.shards[shard], part)
            labels, states = labelled(small), model.encode(small)
            elapsed = (labels.elapsed / 86_400e6).astype(np.float32)
            said = model.label_probability(states, labels.moment, elapsed, 0).mean(axis=1)
            first = labels.task == 0
            rows.append(np.stack([part[labels.patient] + shard * 1e9, labels.value, said])[:, first])
    found: np.ndarray = np.concatenate(rows, axis=1)
    return found[:, np.isfinite(found).all(axis=0)]


def aurocs(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Give the AUROC under each draw of patients' weights, [draw, patient]; ties count half."""
    _, patient = np.unique(rows[0], return_inverse=True)
    _, rank = np.unique(rows[2], return_inverse=True)
    n_ranks = int(rank.max()) + 1
    result = []
    for one in weight:
        each = one[patient]
        events = np.bincount(rank, each * rows[1], n_ranks)
        others = np.bincount(rank, each * (1 - rows[1]), n_ranks)
        below = np.cumsum(others) - others / 2
        result.append((events * below).sum() / (events.sum() * others.sum()))
    return np.array(result)


def calibration(rows: np.ndarray) -> tuple[float, float, float]:
    """Give slope, and intercept at slope 1, of the logit, and expected over observed."""
    p = np.clip(rows[2], 1e-7, 1 - 1e-7)
    x, y = torch.from_numpy(np.log(p / (1 - p))), torch.from_numpy(rows[1])
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(line[0] * x + line[1], y)
        value.backward()
        return value

    optimiser.step(loss)
    cross = -np.mean(rows[1] * np.log(p) + (1 - rows[1]) * np.log(1 - p))
    return float(line[0].detach()), float(cross), float(rows[2].sum() / rows[1].sum())


def measured(name: str, rows: np.ndarray, base: np.ndarray) -> dict[str, object]:
    """Measure one model beside the base on the same hours."""
    n_patients = len(np.unique(rows[0]))
    draws = np.random.default_rng(0).poisson(1.0, (DRAWS, n_patients)).astype(float)
    weight = np.concatenate([np.ones((1, n_patients)), draws])
    own, before = aurocs(rows, weight), aurocs(base, weight)
    slope, cross, expected = calibration(rows)
    bounds = [round(float(q), 4) for q in np.quantile(own[1:], [0.025, 0.975])]
    paired = [round(float(q), 4) for q in np.quantile((own - before)[1:], [0.025, 0.975])]
    return {
        "model": name,
        "auroc": round(float(own[0]), 4),
        "auroc_95": bounds,
        "against_base": round(float(own[0] - before[0]), 4),
        "against_base_95": paired,
        "auprc": round(float(average_precision_score(rows[1], rows[2])), 4),
        "slope": round(slope, 3),
        "expected_over_observed": round(expected, 3),
        "log_loss": round(cross, 5),
        "patients": n_patients,
        "events": int(rows[1].sum()),
    }


def main() -> None:
    """Adapt with ever more patients, and judge on others."""
    work = Path("work/cinc2019")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=work / "model-1")
    parser.add_argument("--timelines", type=Path, default=work / "timelines")
    parser.add_argument("--site", default="B")
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--judges", type=int, default=4000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    if not asked.model.exists():
        print(f"no model at {asked.model}: nothing measured")
        return
    torch.set_num_threads(asked.threads)
    base = Model.open(asked.model)
    data = in_words_of(Timelines.open(asked.timelines), base)
    who = judges(data, asked.site, asked.judges)
    before = told(base, data, who)
    print(json.dumps(measured("base", before, before)), flush=True)
    for n in asked.patients:
        for name, rank in (("recalibrated", 0), ("adapted", 4)):
            spec = AdaptSpec(
                rank=rank,
                folds=asked.folds,
                passes=tuple(asked.passes),
                learning_rate=asked.rate,
                sites=(asked.site,),
                most_patients=n,
                threads=asked.threads,
            )
            with tempfile.TemporaryDirectory() as folder:
                out, began = Path(folder) / "adapter", time.monotonic()
                made = adapt(asked.model, asked.timelines, out, spec, now=datetime.now(UTC))
                rows = told(Model.open(out, base=asked.model), data, who)
                size = sum(path.stat().st_size for path in out.iterdir())
            found = measured(f"{name}, {n}", rows, before)
            print(
                json.dumps(
                    {**found, **made.result, "bytes": size, "seconds": round(time.monotonic() - began)}
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
