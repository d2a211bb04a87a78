"""In: this machine. Out: what is installed, what is missing and how to mend it, disk, memory, keys."""

import importlib.util
import os
import platform
import shutil
import stat
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from residency import __version__
from residency.cli.show import Json
from residency.contract.plugins import ENCODERS, SOURCES
from residency.serving.memory import MEND, SWAPPED, swap_is_on

EXTRAS = {
    "model": ("torch", "safetensors"),
    "validation": ("lightgbm", "sklearn", "scipy", "jinja2", "matplotlib"),
    "release": ("model_signing", "cryptography"),
    "serving": ("fastapi", "uvicorn", "httpx", "sqlalchemy", "nicegui"),
}
LITTLE_DISK = 10 * 2**30
LITTLE_MEMORY = 4 * 2**30
MARK = {"good": "ok", "note": "--", "bad": "!!"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: Literal["good", "note", "bad"]
    detail: str
    mend: str = ""


def doctor(
    work: Annotated[Path, typer.Argument(help="Folder that is to hold the work.")] = Path("work"),
    key: Annotated[list[Path] | None, typer.Option(help="A key file to look at; may be given again.")] = None,
    as_json: Json = False,
) -> None:
    """Say what is installed, what is missing, and how disk, memory and keys stand.

    Example: residency doctor work --key /secure/deid.key
    """
    findings = [_python(), *_extras(), _plugins(), _disk(work), _memory(), _swap(), *map(_key, key or ())]
    if as_json:
        typer.echo(msgspec.json.encode([asdict(finding) for finding in findings]).decode())
    else:
        for finding in findings:
            tail = f"  ({finding.mend})" if finding.mend else ""
            typer.echo(f"[{MARK[finding.state]}] {finding.what}: {finding.detail}{tail}")
    raise typer.Exit(int(any(finding.state == "bad" for finding in findings)))


def _python() -> Finding:
    return Finding(
        "versions",
        "good",
        f"Residency {__version__}, Python {platform.python_version()}, {platform.machine()}",
    )


def _extras() -> list[Finding]:
    return [_extra(extra, needed) for extra, needed in EXTRAS.items()]


def _extra(extra: str, needed: tuple[str, ...]) -> Finding:
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            f"extra {extra}", "bad", f"lacks {', '.join(missing)}", f"pip install 'residency[{extra}]'"
        )
    versions = metadata.packages_distributions()
    shown = ", ".join(f"{name} {metadata.version(versions[name][0])}" for name in needed)
    return Finding(f"extra {extra}", "good", shown)


def _plugins() -> Finding:
    sources, encoders = ", ".join(SOURCES.names()), ", ".join(ENCODERS.names()) or "none"
    return Finding("plugins", "good", f"record sources: {sources}; encoders: {encoders}")


def _disk(work: Path) -> Finding:
    nearest = next(path for path in (work.absolute(), *work.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        return Finding("disk", "bad", f"{work} cannot be written", "choose another folder")
    free = shutil.disk_usage(nearest).free
    state: Literal["good", "bad"] = "good" if free > LITTLE_DISK else "bad"
    return Finding(
        "disk", state, f"{free / 2**30:.1f} GiB free for {work}", "" if state == "good" else "make room"
    )


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    state: Literal["good", "note"] = "good" if total > LITTLE_MEMORY else "note"
    return Finding("machine", state, f"{cores} cores, {total / 2**30:.1f} GiB memory; {_gpu()}")


def _swap() -> Finding:
    if swap_is_on():
        return Finding("swap", "note", SWAPPED, MEND)
    return Finding("swap", "good", "off: memory stays in memory")


def _gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "no torch, so no look at a GPU"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU (everything works without)"


def _key(path: Path) -> Finding:
    if not path.is_file():
        return Finding("key", "bad", f"no file {path}", "make one, or mend the policy's path")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("key", "bad", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    return Finding("key", "good", f"{path} can be read by its owner alone")
