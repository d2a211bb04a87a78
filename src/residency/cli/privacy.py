"""In: a patient, a key, folders. Out: what only the key's holder may do; no id stands on a command line."""

import getpass
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from residency import deid, withdrawal
from residency.cli.show import Json, close, now, progress
from residency.contract import approval

if TYPE_CHECKING:
    from residency.withdrawal import Withdrawal

Policy = Annotated[Path, typer.Option(help="De-identification policy, in TOML: it names the key.")]
By = Annotated[str, typer.Option(help="Who does this; kept in the register beside the key.")]
Reason = Annotated[str, typer.Option(help="Why, in words; kept in the register.")]


def _asked(what: str, file: Path | None) -> str:
    """Read an identifier: from a file, from standard input (`-`), or typed without being shown."""
    if file is None:
        text = getpass.getpass(f"{what}: ")
    elif str(file) == "-":
        text = sys.stdin.read()
    else:
        text = file.read_text("utf-8")
    if not text.strip():
        raise typer.BadParameter(f"no {what} was given")
    return text.strip()


def withdraw(  # noqa: PLR0913 - who, where, by whom
    folders: Annotated[
        list[Path], typer.Argument(help="Where to look: every folder below is looked through.")
    ],
    policy: Policy,
    site: Annotated[str, typer.Option(help="Site that the patient's id is of.")],
    by: By,
    reason: Reason = "",
    id_file: Annotated[
        Path | None, typer.Option(help="File with the patient's id, or - for standard input; else asked for.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would happen; write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Take a patient who withdraws out of all data, and list the models to be trained again.

    Example: residency withdraw work --policy examples/policy.toml --site north --by "Privacy office"
    """
    patient = withdrawal.Patient(_asked("patient's id", id_file), site)
    rules = deid.load_policy(policy)
    with progress() as show:
        told = withdrawal.withdraw(
            folders, patient, rules, by=by, now=now(), reason=reason, dry_run=dry_run, progress=show
        )
    _say(told, dry_run=dry_run, as_json=as_json)


def reidentify(
    records: Annotated[Path, typer.Argument(help="Folder of identified event tables.")],
    policy: Policy,
    by: By,
    reason: Annotated[str, typer.Option(help="Why, in words; kept in the register.")],
    id_file: Annotated[
        Path | None,
        typer.Option(help="File with a pseudonym a line, or -; else asked for."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say who is behind pseudonyms, for a need that is put on record first; takes the key and the records.

    Example: residency reidentify work/records --policy examples/policy.toml --by "Dr. A" --reason "finding"
    """
    try:
        wanted = [int(one) for one in _asked("pseudonym", id_file).split()]
    except ValueError:
        raise typer.BadParameter("a pseudonym is a whole number") from None
    rules = deid.load_policy(policy)
    found = deid.reidentify(records, wanted, rules, by=by, reason=reason, now=now())
    if as_json:
        typer.echo(msgspec.json.encode([asdict(one) for one in found]).decode())
        return
    for one in found:
        typer.echo(f"{one.pseudonym}: {', '.join(one.references) or one.ingest_id}, {one.site}")


def export_dicom(
    files: Annotated[Path, typer.Argument(help="DICOM file, or a folder of them.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    policy: Policy,
    site: Annotated[str, typer.Option(help="Site whose numbers PatientID holds.")],
    records: Annotated[
        Path | None, typer.Option(help="Folder of identified tables, where numbers are looked up.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write DICOM files without identities: listed attributes, new UIDs, moved dates, writing covered.

    Example: residency export-dicom pacs work/dicom --policy examples/policy.toml --site north
    """
    rules = deid.load_policy(policy)
    with progress() as show:
        manifest = deid.export_dicom(files, out, rules, site=site, now=now(), records=records, progress=show)
    close(manifest, as_json=as_json)


def sign_risk(
    folder: Annotated[Path, typer.Argument(help="Folder that deidentify made.")],
    key: Annotated[Path, typer.Option(help="Your private key, from release make-key.")],
    name: Annotated[str, typer.Option(help="Your name.")],
    as_json: Json = False,
) -> None:
    """Sign, as privacy officer, the risk that is left in de-identified data; read risk.html first.

    Example: residency sign-risk work/deidentified --key officer.pem --name "Privacy Officer"
    """
    signed = approval.approve(folder, key, name, now=now())
    body = {"signed": str(folder), "data": signed.data, "risk": signed.risk}
    typer.echo(
        msgspec.json.encode(body).decode()
        if as_json
        else "\n".join(f"{what}: {value}" for what, value in body.items())
    )


def _say(told: "Withdrawal", *, dry_run: bool, as_json: bool) -> None:
    lists = {
        "models to be trained again": told.models,
        "reports to be made again": told.reports,
        "releases of such models, to be retired": told.releases,
        "made with another key: not looked through": told.elsewhere,
        "source records: yours to change": told.sources,
    }
    rewritten = {str(folder): n for folder, n in told.rewritten.items()}
    if as_json:
        body = {"rewritten": rewritten, **{name: list(map(str, paths)) for name, paths in lists.items()}}
        typer.echo(msgspec.json.encode(body).decode())
        return
    typer.echo(f"{'would be' if dry_run else 'were'} rewritten: {len(rewritten)} folders")
    for folder, n in rewritten.items():
        typer.echo(f"  {folder}: {n} files")
    for name, paths in lists.items():
        if paths:
            typer.echo("\n  ".join([f"{name}:", *map(str, paths)]))
