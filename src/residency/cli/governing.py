"""In: a bundle and people's keys. Out: the release's next step, or how it stands."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from residency import release
from residency.cli.show import Json, now
from residency.release.ledger import Entry

app = typer.Typer(
    help="Propose, sign, promote, retire, verify, export and show a release.", no_args_is_help=True
)

Bundle = Annotated[Path, typer.Argument(help="Folder of the release.")]
Key = Annotated[Path, typer.Option(help="Your private key.")]
Name = Annotated[str, typer.Option(help="Your name, as the policy has it.")]
Role = Annotated[str, typer.Option(help="Your role, as the policy has it.")]
Trusted = Annotated[Path | None, typer.Option(help="Public key, or a folder of them, that you trust.")]
Reason = Annotated[str, typer.Option(help="Why, in words.")]


def _say(body: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(body, enc_hook=str).decode())
        return
    for key, value in body.items():
        typer.echo(f"{key}: {value}")


def _entry(entry: Entry, *, as_json: bool) -> None:
    _say({"kind": entry.kind, "state": str(entry.state), "release": entry.release}, as_json=as_json)


@app.command()
def propose(  # noqa: PLR0913 - what a bundle is made from
    model: Annotated[Path, typer.Argument(help="Folder that train made.")],
    report: Annotated[Path, typer.Argument(help="Folder that validate made.")],
    out: Annotated[Path, typer.Argument(help="Bundle to write.")],
    policy: Annotated[Path, typer.Option(help="Signed release policy, in TOML.")],
    deid: Annotated[Path | None, typer.Option(help="De-identification policy of the training data.")] = None,
    statements: Annotated[Path | None, typer.Option(help="What only people can say, in TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Make a bundle of a model, its report and the policy, and open its ledger.

    Example: residency release propose work/model work/report work/release --policy release.toml
    """
    bundle = release.propose(model, report, out, policy, now=now(), deid=deid, statements=statements)
    _say(release.show(bundle), as_json=as_json)


@app.command()
def sign(bundle: Bundle, key: Key, name: Name, role: Role, as_json: Json = False) -> None:
    """Approve the next step up with your key; two different people must.

    Example: residency release sign work/release --key me.pem --name "A. Scientist" --role "data science"
    """
    _entry(release.sign(bundle, key, name, role, now=now()), as_json=as_json)


@app.command()
def promote(
    bundle: Bundle,
    to: Annotated[str, typer.Option(help="validated, silent, internal or released.")],
    as_json: Json = False,
) -> None:
    """Take a release one step up, where enough people have signed.

    Example: residency release promote work/release --to validated
    """
    _entry(release.promote(bundle, to), as_json=as_json)


@app.command(name="step-back")
def step_back(  # noqa: PLR0913 - who signs what, and why
    bundle: Bundle,
    to: Annotated[str, typer.Option(help="The state to go back to.")],
    key: Key,
    name: Name,
    role: Role,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Take a release back after an incident; one person is enough.

    Example: residency release step-back work/release --to silent --key me.pem --name A --role B --reason x
    """
    _entry(release.step_back(bundle, key, name, role, to=to, reason=reason, now=now()), as_json=as_json)


@app.command()
def retire(bundle: Bundle, key: Key, name: Name, role: Role, reason: Reason, as_json: Json = False) -> None:
    """End a release, for good.

    Example: residency release retire work/release --key me.pem --name A --role B --reason "replaced"
    """
    _entry(release.retire(bundle, key, name, role, reason=reason, now=now()), as_json=as_json)


@app.command()
def verify(bundle: Bundle, trusted: Trusted = None, as_json: Json = False) -> None:
    """Check every byte of a bundle, its seals and its ledger.

    Example: residency release verify work/release --trusted keys/
    """
    standing = release.verify(bundle, trusted=trusted)
    _say({"verified": standing.digest, "state": str(standing.state), "demo": standing.demo}, as_json=as_json)


@app.command()
def export(
    bundle: Bundle,
    out: Annotated[Path, typer.Argument(help="Archive to write (.tar).")],
    as_json: Json = False,
) -> None:
    """Write a verified bundle as one archive, the same bytes each time.

    Example: residency release export work/release release.tar
    """
    _say({"archive": str(out), "digest": release.export(bundle, out)}, as_json=as_json)


@app.command()
def show(bundle: Bundle, as_json: Json = False) -> None:
    """Say how a release stands: state, gates, ledger, what it may answer, what is still to be stated.

    Example: residency release show work/release
    """
    _say(release.show(bundle), as_json=as_json)


@app.command(name="make-key")
def make_key(
    folder: Annotated[Path, typer.Argument(help="Folder for the two files; keep it from others.")],
    name: Annotated[str, typer.Option(help="Name of the files.")],
    as_json: Json = False,
) -> None:
    """Make a signing key and its public half.

    Example: residency release make-key ~/keys --name board
    """
    pair = release.make_key(folder, name)
    _say({"public": str(pair.public), "fingerprint": pair.fingerprint}, as_json=as_json)


@app.command(name="sign-policy")
def sign_policy(
    policy: Annotated[Path, typer.Argument(help="Release policy, in TOML.")],
    key: Key,
    name: Name,
    as_json: Json = False,
) -> None:
    """Put a release policy in force.

    Example: residency release sign-policy release.toml --key board.pem --name "The Board"
    """
    release.sign_policy(policy, key, name)
    _say({"in force": str(policy)}, as_json=as_json)
