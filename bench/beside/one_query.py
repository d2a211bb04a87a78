"""In: a tensorised cohort and tasks, in the environment of everyquery. Out: training and queries, timed.

Its own data set, network and loss, one (code, window) query a pass. Its default is a ModernBERT-base of 22
layers whose description it fetches from a hub; here it is described in a local folder, and as small as
meds-eic-ar's `micro`: 4 layers of width 256.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import lightning
import polars as pl
import torch
from clock import Clock, clocked
from every_query.data.datamodule import ResumableDatamodule
from every_query.data.dataset import EveryQueryPytorchDataset
from every_query.model import EveryQueryModel
from every_query.model.lightning_module import EveryQueryLightningModule
from meds_torchdata import MEDSTorchDataConfig
from transformers import ModernBertConfig, get_cosine_schedule_with_warmup


def network(folder: Path, data: MEDSTorchDataConfig) -> EveryQueryModel:
    """Make its network, as small as the other peer's."""
    ModernBertConfig().save_pretrained(folder)
    overrides = {
        "vocab_size": data.vocab_size,
        "max_position_embeddings": 512,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
    }
    return EveryQueryModel(model_name=str(folder), num_hidden_layers=4, config_overrides=overrides)


def data_of(asked: argparse.Namespace, tasks: Path) -> MEDSTorchDataConfig:
    """Say what to read: the last 256 tokens before each query."""
    return MEDSTorchDataConfig(
        tensorized_cohort_dir=asked.cohort,
        task_labels_dir=tasks,
        static_inclusion_mode="omit",
        seq_sampling_strategy="to_end",
        max_seq_len=256,
    )


def trained(asked: argparse.Namespace, seconds: float, steps: int) -> tuple[EveryQueryLightningModule, Clock]:
    """Train from the start for some seconds, its learning rate planned for so many steps."""
    config = data_of(asked, asked.tasks)
    lightning.seed_everything(0)
    module = EveryQueryLightningModule(
        network(asked.out / "network", config),
        optimizer=partial(torch.optim.AdamW, lr=2e-4, weight_decay=0.05),
        LR_scheduler=partial(get_cosine_schedule_with_warmup, num_cycles=0.5),
        warmup_ratio=0.05,
    )
    loader = ResumableDatamodule(
        config, data_class=EveryQueryPytorchDataset, batch_size=asked.batch, num_workers=0
    ).train_dataloader()
    clock = Clock(seconds)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        callbacks=[clock],
        enable_progress_bar=False,
        gradient_clip_val=1.0,
    )
    trainer.fit(module, loader)
    return module, clock


def answered(module: EveryQueryLightningModule, asked: argparse.Namespace) -> tuple[float, int]:
    """Ask one query of each patient; give seconds and how many, and write what it said."""
    data = EveryQueryPytorchDataset(data_of(asked, asked.queries), split="held_out")
    loader = torch.utils.data.DataLoader(data, batch_size=64, collate_fn=data.collate)
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    began = time.process_time()
    said = trainer.predict(module, loader)
    seconds = time.process_time() - began
    rows = data.schema_df.select("subject_id").with_columns(
        probability=pl.Series(torch.cat([one["occurs_probs"].flatten() for one in said]).numpy())
    )
    rows.write_parquet(asked.out / "said.parquet")
    return seconds, len(rows)


def main() -> None:
    """Train, ask, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cohort", "tasks", "queries", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name, value in (("batch", 16), ("seconds", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    module, clock = clocked(partial(trained, asked), float(asked.seconds))
    seconds, n_asked = answered(module, asked)
    found = {
        "parameters": sum(p.numel() for p in module.parameters()),
        "train_seconds": clock.seconds,
        "steps": clock.steps,
        "tokens": clock.tokens,
        "query_seconds": seconds,
        "queries": n_asked,
    }
    (asked.out / "found.json").write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
