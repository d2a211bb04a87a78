"""In: a patient who withdraws, a policy, folders. Out: their data gone, and what hangs on them named.

Every folder is looked through, not only those whose manifests lead to the patient's: one that was set aside
or copied holds the patient as well. Manifests then tell which models were made from what somebody has left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from residency.contract.errors import NotFoundError
from residency.contract.identifiers import pseudonym_of, subject_id_of
from residency.contract.progress import Progress, silent
from residency.deid import Policy, register
from residency.deid.keys import fingerprint, read_key
from residency.withdrawal.rewriting import Leaving, leaving, put_in_place, stage
from residency.withdrawal.tracing import DATA_STEPS, Made, made_under, staged_under, stale

_VALIDATE: Final = "validate"
_NO_MODELS: Final = ("simulate", "rekey", "export-dicom", "plan", "summarise")


@dataclass(frozen=True)
class Patient:
    """Who withdraws.

    Attributes:
        source_id: what the source calls them (FHIR: `Patient.id`). It is never written and never shown.
        site: of the source; two sites may use the same ids.
    """

    source_id: str
    site: str

    def __repr__(self) -> str:
        return "Patient(…)"

    @property
    def ingest_id(self) -> int:
        """Their number in identified tables."""
        return subject_id_of(self.source_id, self.site)


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal did, or would do.

    Attributes:
        rewritten: folders that held the patient: files of each that were written anew or taken away.
        models: folders of models made from data that somebody has since left, or from such a model: to be
            trained again.
        reports: examinations of such models, to be made again.
        releases: bundles with such a model: to be retired once its successor is there.
        elsewhere: folders de-identified with another key, in which this one finds nobody.
        sources: folders of source records, which are the hospital's own to change.
    """

    rewritten: dict[Path, int]
    models: tuple[Path, ...] = ()
    reports: tuple[Path, ...] = ()
    releases: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()


def withdraw(  # noqa: PLR0913 - who, where, by whom, when
    roots: Sequence[Path],
    patient: Patient,
    policy: Policy,
    *,
    by: str,
    now: datetime,
    reason: str = "",
    dry_run: bool = False,
    progress: Progress = silent,
) -> Withdrawal:
    """Take a patient out of everything that was made from them, and list the models to be trained again.

    Folders set aside are looked through too. A killed run is taken up by running it again. The register
    beside the key then keeps the patient out of every later `deidentify` with that key.

    Args:
        roots: folders to look under.
        patient: who withdraws.
        policy: names the key that pseudonyms were made with.
        by: who carries it out; written into the register.
        now: the time, aware.
        reason: in words, for the register.
        dry_run: say what would happen, and write nothing.
        progress: is told of each folder.

    Raises:
        NotFoundError: no folder holds the patient, and none did.
        LineageError: a step has not finished, and its folder may hold the patient.
        IdentityError: the key is missing, wrong or misplaced.
    """
    key = read_key(policy, roots)
    subjects = frozenset({patient.ingest_id, pseudonym_of(key, patient.ingest_id)})
    mark = register.mark_of(key, patient.ingest_id)
    if not dry_run:
        for folder in staged_under(roots):
            put_in_place(folder)
    found = made_under(roots)
    held = _held(found, subjects, progress)
    if not any(held.values()) and mark not in register.withdrawn(policy.key_file, key):
        raise NotFoundError(
            "no folder there holds the patient", mend="is it the source's own id, and the site's own name?"
        )
    told = _told(found, held, key)
    if dry_run:
        return told
    line = register.Line(n=0, time=now, by=by, what="withdrawal", marks=(mark,), reason=reason)
    if any(held.values()):
        register.append(policy.key_file, key, line)
    _rewrite(found, held)
    register.append(policy.key_file, key, _done(line, told))
    return told


def _held(found: Sequence[Made], subjects: frozenset[int], progress: Progress) -> dict[Path, Leaving]:
    """Say what each folder holds of the patient; a release is signed, and holds nobody."""
    held = {}
    for n, made in enumerate(found):
        progress("looking for the patient", n, len(found))
        if made.release is None and made.manifest.step != "simulate":
            held[made.folder] = leaving(made, subjects)
    progress("looking for the patient", len(found), len(found))
    return held


def _told(found: Sequence[Made], held: dict[Path, Leaving], key: bytes) -> Withdrawal:
    """Say what follows: a model is concerned where it was made from what somebody has left, or leaves now."""
    concerned = _concerned(found, {*stale(found), *_follows(found, held)})
    models = [one for one in concerned if one.manifest.step not in (*_NO_MODELS, _VALIDATE)]
    reports = [one.folder for one in concerned if one.manifest.step == _VALIDATE and one.release is None]
    mine = fingerprint(key)
    return Withdrawal(
        rewritten={folder: len(gone.shards) for folder, gone in held.items() if gone},
        models=tuple(one.folder for one in models if one.release is None),
        reports=tuple(reports),
        releases=tuple(one.release for one in models if one.release is not None),
        elsewhere=tuple(
            one.folder for one in found if one.manifest.spec.get("key_fingerprint", mine) != mine
        ),
        sources=tuple(one.folder for one in found if one.manifest.step == "simulate"),
    )


def _concerned(found: Sequence[Made], left: set[str]) -> list[Made]:
    """Give what was made of data that somebody has left, of a model of those, and so on; data apart."""
    concerned: dict[Path, Made] = {}
    while True:
        more = [
            one
            for one in found
            if one.folder not in concerned
            and one.manifest.step not in DATA_STEPS
            and left.intersection(one.manifest.made_from)
        ]
        if not more:
            return [one for one in found if one.folder in concerned]
        concerned |= {one.folder: one for one in more}
        left = left | {one.digest for one in more}


def _follows(found: Sequence[Made], held: dict[Path, Leaving]) -> set[str]:
    """Give the digests of data that change: what holds the patient, and what was made from that."""
    moving = set[str]()
    for made in found:
        if made.manifest.step in DATA_STEPS and (
            held.get(made.folder) or moving.intersection(made.manifest.made_from)
        ):
            moving.add(made.digest)
    return moving


def _rewrite(found: Sequence[Made], held: dict[Path, Leaving]) -> None:
    """Rewrite folder by folder, records first: each names its inputs by the digests they have by then."""
    now_is = stale(found)
    for made in found:
        if made.folder not in held:
            continue
        inputs = made.manifest.made_from
        if made.manifest.step in DATA_STEPS:
            inputs = tuple(now_is.get(one, one) for one in inputs)
        if held[made.folder] or inputs != made.manifest.made_from:
            new = stage(made, held[made.folder], inputs)
            put_in_place(made.folder)
            now_is |= dict.fromkeys((made.digest, *made.before), new.digest)


def _done(line: register.Line, told: Withdrawal) -> register.Line:
    def names(paths: Sequence[Path]) -> tuple[str, ...]:
        return tuple(path.name for path in paths)

    return msgspec.structs.replace(
        line, what="withdrawn", folders=names(tuple(told.rewritten)), models=names(told.models),
        releases=names(told.releases),
    )  # fmt: skip
