"""In: places to look in. Out: every folder that a step made, those before that others follow from."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from residency.contract.errors import LineageError
from residency.contract.lineage import WORK, Manifest, open_made
from residency.contract.schema import MANIFEST

STAGING: Final = ".withdrawing"  # new files, not yet all of them
STAGED: Final = ".withdrawn"  # all of them: what follows is only putting them in place
BEFORE: Final = "before_withdrawals"  # in a manifest's result: the digests that it had
DATA_STEPS: Final = ("ingest", "deidentify", "build")  # in this order; each is made from the one before
_CONTENT, _PROPOSAL = "content", "proposal.json"


@dataclass(frozen=True)
class Made:
    """A folder that a step made.

    Attributes:
        folder: where it lies.
        manifest: what it was made from.
    """

    folder: Path
    manifest: Manifest

    @cached_property
    def digest(self) -> str:
        """Of its manifest."""
        return self.manifest.digest

    @property
    def before(self) -> tuple[str, ...]:
        """Digests that it had before somebody withdrew."""
        return tuple(self.manifest.result.get(BEFORE, ()))

    @property
    def release(self) -> Path | None:
        """The bundle that the folder is a part of."""
        above = self.folder.parent
        inside = above.name == _CONTENT and (above / _PROPOSAL).exists()
        return above.parent if inside else None


def made_under(roots: Iterable[Path]) -> list[Made]:
    """Find every folder that a step made, those set aside included; records first, then what follows.

    Raises:
        LineageError: a step has not finished, or nothing is there.
    """
    found = [Made(path, open_made(path)) for path in sorted(_folders(roots))]
    if not found:
        raise LineageError("no step of Residency made a folder there", where=", ".join(map(str, roots)))
    return sorted(found, key=lambda one: (_rank(one.manifest), str(one.folder)))


def _rank(manifest: Manifest) -> int:
    return DATA_STEPS.index(manifest.step) if manifest.step in DATA_STEPS else len(DATA_STEPS)


def _folders(roots: Iterable[Path]) -> Iterator[Path]:
    seen = set[Path]()
    for root in roots:
        for folder, names, files in os.walk(root.resolve()):
            names[:] = [name for name in names if name not in (STAGING, STAGED)]
            place = Path(folder)
            if place in seen:
                continue
            seen.add(place)
            if WORK in names:
                raise LineageError(
                    "a step has not finished, and may hold the patient",
                    where=str(place),
                    mend="run its command again, or delete the folder; then withdraw",
                )
            if MANIFEST in files:
                yield place


def staged_under(roots: Iterable[Path]) -> list[Path]:
    """Find folders in which a withdrawal was cut short after all new files had been made."""
    return [Path(folder) for root in roots for folder, names, _ in os.walk(root.resolve()) if STAGED in names]


def stale(found: Iterable[Made]) -> dict[str, str]:
    """Give, of each digest that a folder had before somebody withdrew, the one that it has now."""
    return {old: one.digest for one in found for old in one.before}


def with_before(manifest: Manifest, digest: str) -> dict[str, Any]:
    """Give a manifest's result with one more digest that the folder had."""
    return {**manifest.result, BEFORE: [*manifest.result.get(BEFORE, ()), digest]}
