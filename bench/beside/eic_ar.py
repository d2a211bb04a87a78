"""In: a tensorised cohort, in the environment of meds-eic-ar. Out: its training and rollouts, timed (JSON).

Its own settings, data module, network and formatting of futures; `micro`, its smallest size.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import hydra
import lightning
import polars as pl
import torch
from clock import Clock, clocked
from hydra.utils import instantiate
from MEDS_EIC_AR import __main__ as eic
from MEDS_EIC_AR.generation import RepeatedPredictionDataset, collate_with_meta, get_timeline_end_token_idx
from MEDS_EIC_AR.generation.finalize import finalize_predictions, write_rank_output
from torch.utils.data import DataLoader


def composed(name: str, overrides: list[str]) -> object:
    """Give a configuration as its command would read it."""
    with hydra.initialize_config_dir(str(eic.CONFIGS), version_base=None):
        return hydra.compose(name, overrides)


def trained(asked: argparse.Namespace, seconds: float, steps: int) -> tuple[object, Clock]:
    """Train from the start for some seconds, its learning rate planned for so many steps."""
    config = composed(
        "_pretrain",
        [
            "lightning_module=micro",
            f"output_dir={asked.out}",
            f"datamodule.config.tensorized_cohort_dir={asked.cohort}",
            f"datamodule.batch_size={asked.batch}",
            "datamodule.num_workers=0",
            f"trainer.max_steps={steps}",
            "trainer.precision=32-true",
        ],
    )
    data = instantiate(config.datamodule)
    sizes = {"vocab_size": data.config.vocab_size, "eos_token_id": get_timeline_end_token_idx(data.config)}
    lightning.seed_everything(0)
    module = instantiate(
        config.lightning_module, model={"gpt_kwargs": sizes}, metrics={"vocab_size": data.config.vocab_size}
    )
    codes = pl.read_parquet(asked.cohort / "metadata/codes.parquet")
    times = codes.filter(pl.col("code").str.starts_with("TIMELINE"))["code/vocab_index"]
    clock = Clock(seconds, times.to_list())
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        callbacks=[clock],
        enable_progress_bar=False,
        limit_val_batches=0,
        gradient_clip_val=config.trainer.gradient_clip_val,
    )
    trainer.fit(module, data)
    return module, clock


def futures(module: object, asked: argparse.Namespace) -> tuple[float, int]:
    """Write rollouts of every asked patient in its own format; give seconds and how many."""
    config = composed(
        "_generate_trajectories",
        [
            f"output_dir={asked.out}",
            f"model_initialization_dir={asked.out}",
            f"datamodule.config.tensorized_cohort_dir={asked.cohort}",
            f"datamodule.config.task_labels_dir={asked.task}",
            f"datamodule.config.max_seq_len={asked.context}",
            "datamodule.batch_size=64",
            "datamodule.num_workers=0",
        ],
    )
    base = instantiate(config.datamodule).test_dataloader().dataset
    loader = DataLoader(
        RepeatedPredictionDataset(base, n_trajectories=asked.rollouts),
        batch_size=64,
        collate_fn=lambda rows: collate_with_meta(rows, base_collate=base.collate),
    )
    module.eval()
    module.generation_kwargs.update(max_new_tokens=asked.tokens, do_sample=True)
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    began = time.process_time()
    said = trainer.predict(module, loader)
    seconds = time.process_time() - began
    parts = asked.out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    write_rank_output(said, rank=0, rank_outputs_dir=parts)
    paths = {number: asked.out / f"future-{number}.parquet" for number in range(asked.rollouts)}
    finalize_predictions(
        rank_outputs_dir=parts,
        trajectory_paths=paths,
        base_dataset=base,
        n_dataset_rows=len(base),
        do_overwrite=True,
    )
    return seconds, len(base) * asked.rollouts


def main() -> None:
    """Train, roll out, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cohort", "task", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name, value in (("batch", 16), ("rollouts", 20), ("tokens", 256), ("context", 256), ("seconds", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "config.yaml").write_text("max_seq_len: 512\n", "utf-8")
    module, clock = clocked(partial(trained, asked), float(asked.seconds))
    seconds, n_rolled = futures(module, asked)
    found = {
        "parameters": sum(p.numel() for p in module.parameters()),
        "train_seconds": clock.seconds,
        "steps": clock.steps,
        "tokens": clock.tokens,
        "events": clock.tokens - clock.tokens_apart,
        "rollout_seconds": seconds,
        "rollouts": n_rolled,
    }
    (asked.out / "found.json").write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
