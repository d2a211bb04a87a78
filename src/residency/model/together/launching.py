"""In: a training and a number of processes. Out: the same, the processes started by Ray (extra `cluster`).

Ray places the processes and joins them; what they do is `train_together`, checkpoints and all. A cluster's
machines must see the timelines and the folder to write under the same paths.
"""

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.contract import specs
from residency.contract.errors import PluginError, TrainingError
from residency.contract.lineage import Manifest, open_made
from residency.contract.specs import plain
from residency.model.spec import ModelSpec
from residency.model.together.crew import backend_of, crew
from residency.model.together.joint import train_together

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer


def train_on_ray(
    timelines: Path, out: Path, spec: ModelSpec, *, workers: int, pieces: int, now: datetime
) -> Manifest:
    """Train one model in processes that Ray starts: on this machine, or on the cluster that it is joined to.

    Args:
        timelines: what `timeline.build` made.
        out: folder to write.
        spec: how large, how long; `device = "cuda"` gives each process a GPU.
        workers: processes.
        pieces: batches that a step learns from; a multiple of `workers`.
        now: start of the run, aware.

    Raises:
        PluginError: Ray is not installed.
        TrainingError: what the first process that failed said.
    """
    try:
        from ray.train import TrainingFailedError
    except ModuleNotFoundError as missing:
        raise PluginError(f"Ray needs {missing.name}", mend="pip install 'residency[cluster]'") from missing
    said = {"timelines": str(timelines.resolve()), "out": str(out.resolve()), "spec": plain(spec)}
    told = {**said, "pieces": pieces, "now": now.isoformat()}
    notes = out.resolve().with_name(f".{out.name}.ray")  # Ray's own, on the disk that all see
    try:
        _trainer(told, spec, workers, notes).fit()
    except TrainingFailedError as failed:
        raise TrainingError(_reason(failed)) from None
    finally:
        shutil.rmtree(notes, ignore_errors=True)
    return open_made(out, "train")


def _trainer(told: dict[str, Any], spec: ModelSpec, workers: int, notes: Path) -> "TorchTrainer":
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    return TorchTrainer(
        _work,
        train_loop_config=told,
        torch_config=TorchConfig(backend=backend_of(spec.device)),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=spec.device == "cuda"),
        run_config=RunConfig(name="train", storage_path=str(notes)),
    )


def _work(told: dict[str, Any]) -> None:
    """Do one process's part."""
    spec = specs.read(ModelSpec, told["spec"], where="the launcher")
    with crew(spec.device) as us:
        train_together(
            Path(told["timelines"]),
            Path(told["out"]),
            spec,
            us,
            pieces=told["pieces"],
            now=datetime.fromisoformat(told["now"]),
        )


def _reason(failed: Exception) -> str:
    """Give what the first process that failed said, where it is one of our own errors."""
    workers: dict[int, Exception] = getattr(failed, "worker_failures", {})
    reasons = [str(workers[rank]) for rank in sorted(workers)]
    return reasons[0] if reasons else "Ray could not run the training: see its own messages"
