"""In: the code. Out: the pages and schemas that are made from it; `--check` says which are not up to date."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import residency
from residency import flow, release
from residency.contract.questions import schemas
from residency.model import adaptation, planning
from residency.validation.attacking import AttackSpec
from residency.validation.drifting import DriftSpec
from residency.validation.pilot import PilotSpec
from residency.validation.silent import SilentSpec
from residency.validation.tasks import Apart, Task

ROOT = Path(__file__).parents[1]
SPECS: dict[str, tuple[str, type]] = {
    "flow.toml": ("residency run", flow.FlowSpec),
    "flow.toml, [ingest]": ("", flow.IngestSpec),
    "flow.toml, [ingest] also": ("", flow.FeedSpec),
    "flow.toml, [train]": ("", flow.TrainSpec),
    "flow.toml, [release]": ("", flow.ReleaseSpec),
    "flow.toml, [serve]": ("", flow.ServeSpec),
    "hospital": ("[simulate] of a flow", residency.HospitalSpec),
    "de-identification policy": ("residency deidentify --policy", residency.Policy),
    "build": ("residency build --spec", residency.BuildSpec),
    "train": ("residency train --spec", residency.ModelSpec),
    "plan": ("residency plan --spec", planning.PlanSpec),
    "adapt": ("residency adapt --spec", adaptation.AdaptSpec),
    "task": ("residency validate --tasks", Task),
    "task, [apart]": ("", Apart),
    "silent trial": ("residency silent replay --plan", SilentSpec),
    "pilot": ("residency silent pilot --spec", PilotSpec),
    "drift": ("residency drift --spec", DriftSpec),
    "attack": ("residency attack --spec", AttackSpec),
    "release policy": ("residency release", release.ReleasePolicy),
}


def commands() -> str:
    """Every command, its arguments and its example, as the command line itself says them."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "commands.md"
        arguments = ["residency.cli.app", "utils", "docs", "--name", "residency", "--output", str(page)]
        subprocess.run(
            [sys.executable, "-m", "typer", *arguments], check=True, stdout=subprocess.DEVNULL, env=_plain()
        )
        return page.read_text("utf-8").replace("# `residency`", "# Commands", 1)


def _plain() -> dict[str, str]:
    import os

    return {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}


def settings() -> str:
    """Every spec: keys, types, defaults, meaning."""
    parts = [
        "# Settings\n\nSettings files are TOML, closed to unknown keys; all wrong keys are named at once.\n"
    ]
    for title, (use, kind) in SPECS.items():
        doc = inspect.getdoc(kind) or ""
        said = dict(
            re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", doc.partition("Attributes:")[2], re.MULTILINE)
        )
        parts.append(
            f"## {title}\n\n{doc.partition(chr(10))[0]}" + (f" Used by: `{use}`." if use else "") + "\n"
        )
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        for field in dataclasses.fields(kind):
            meaning = " ".join(said.get(field.name, "").split())
            kind_name = str(field.type if isinstance(field.type, str) else _name(field.type)).replace(
                "|", "\\|"
            )
            parts.append(f"| `{field.name}` | `{kind_name}` | {_default(field)} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def _name(kind: object) -> str:
    text = kind.__name__ if isinstance(kind, type) and not getattr(kind, "__args__", ()) else str(kind)
    return re.sub(r"(?:\w+\.)+(\w+)", r"\1", text)


def _default(field: "dataclasses.Field[object]") -> str:
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is dataclasses.MISSING else f"`{field.default_factory()!r}`"
    return f"`{field.default!r}`" if not dataclasses.is_dataclass(field.default) else "its defaults"


def pages() -> dict[Path, str]:
    """Every made page by its path."""
    folder = ROOT / "src/residency/contract/schemas"
    made = {
        folder / f"{name}.json": json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        for name, body in schemas().items()
    }
    return {**made, ROOT / "docs/commands.md": commands(), ROOT / "docs/settings.md": settings()}


def main() -> int:
    """Write the pages, or check them."""
    old = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        for path in old:
            print(f"{path.relative_to(ROOT)} is not up to date: make docs")
        return int(bool(old))
    for path, text in pages().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
