"""In: a trained model, its report, and a signed policy. Out: a bundle: all that a release is, in a folder.

::

    BUNDLE/
      content/            what is signed, whole; it never changes after the proposal
        model/            weights, vocabulary, calibration, manifest
        report/           report.json, report.html, tasks, manifest; no patient's prediction
        policy.toml       the release policy, and policy.sig.json, its signature
        deid.toml         the de-identification policy, without its key
        allow_list.json   tasks, horizons, populations
        verdicts.json     of every gate
        model_card.md     and model_card.json
        proposal.json     digests of what the content was made from
      ledger.jsonl        what happened to it
      signatures/         one Sigstore file and one public key a signer
"""

import dataclasses
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from residency import __version__
from residency.contract.digests import digest_file, digest_of, digest_tree
from residency.contract.errors import LineageError, SignatureError, StaleError
from residency.contract.lineage import Manifest, open_made
from residency.contract.report import read_report
from residency.contract.schema import MANIFEST
from residency.release import ledger
from residency.release.allow_list import ALLOW_LIST, allow_list_of
from residency.release.cards import Evidence, card_text, write_card
from residency.release.examined import examined_in
from residency.release.gates import Verdict, judge
from residency.release.policy import load_policy
from residency.release.signed_policy import POLICY, POLICY_SIGNATURE, check_policy, signature_beside
from residency.release.statements import load_statements
from residency.release.states import State

CONTENT: Final = "content"
LEDGER: Final = "ledger.jsonl"
SIGNATURES: Final = "signatures"
MODEL: Final = "model"
REPORT: Final = "report"
DEID: Final = "deid.toml"
VERDICTS: Final = "verdicts.json"
PROPOSAL: Final = "proposal.json"
CARD: Final = "model_card.json"
CARD_TEXT: Final = "model_card.md"
_OF_REPORT: Final = ("report.json", "report.html", "tasks")


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a proposal is made from.

    Attributes:
        model: folder that training made.
        report: folder that validation made.
        policy: a signed release policy.
        deid: the de-identification policy of the training data; none for data without identities.
        statements: what people stated; none where nobody has yet.
    """

    model: Path
    report: Path
    policy: Path
    deid: Path | None = None
    statements: Path | None = None

    def digests(self) -> dict[str, str]:
        """What tells this proposal from any other."""
        optional = {
            name: getattr(self, name) for name in ("deid", "statements") if getattr(self, name) is not None
        }
        return {
            "model": open_made(self.model).digest,
            "report": open_made(self.report).digest,
            "policy": digest_file(self.policy),
            "policy_signature": digest_file(signature_beside(self.policy)),
            **{name: digest_file(path) for name, path in optional.items()},
            "code_version": __version__,
        }


def propose(  # noqa: PLR0913 - what a bundle is made from
    model: Path,
    report: Path,
    out: Path,
    policy: Path,
    *,
    now: datetime,
    deid: Path | None = None,
    statements: Path | None = None,
) -> Path:
    """Make a bundle and open its ledger with the proposal; a bundle of the very same things is left as it is.

    Args:
        model: folder that training made.
        report: folder that validation made.
        out: the bundle to write.
        policy: a release policy with its signature beside it.
        now: the time of the proposal, aware.
        deid: the de-identification policy.
        statements: what people stated about the model.

    Raises:
        LineageError: model or report are altered or do not belong together, or `out` holds something else; as
            `StaleError` where that is a bundle of other things.
        SignatureError: nobody signed the policy.
    """
    sources = Sources(model=model, report=report, policy=policy, deid=deid, statements=statements)
    check_policy(policy)
    digests = sources.digests()
    if out.exists():
        _same_or_refuse(out, digests)
        return out
    making = out.with_name(f".{out.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    (making / SIGNATURES).mkdir(parents=True)
    _fill(making / CONTENT, sources, digests)
    entry = ledger.Entry(
        n=0,
        kind="proposed",
        time=now.astimezone(UTC),
        release=content_digest(making),
        state=State.PROPOSED,
        previous=ledger.GENESIS,
    )
    ledger.append(making / LEDGER, entry)
    making.rename(out)
    return out


def _same_or_refuse(out: Path, digests: dict[str, str]) -> None:
    try:
        found = msgspec.json.decode((out / CONTENT / PROPOSAL).read_bytes())
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        found = None
    if found is None:
        raise LineageError("the folder holds no bundle, and stays untouched", where=str(out))
    if found != digests:
        raise StaleError(
            "the bundle there was made from other things, which stays untouched",
            where=str(out),
            mend="choose another folder",
        )


def _fill(content: Path, sources: Sources, digests: dict[str, str]) -> None:
    model, report_manifest = (
        open_made(sources.model, "train", verify=True),
        open_made(sources.report, verify=True),
    )
    _belong_together(model, report_manifest, sources.report)
    _copy_made(sources.model, content / MODEL, model)
    (content / REPORT).mkdir()
    for name in (*_OF_REPORT, MANIFEST):
        _copy(sources.report / name, content / REPORT / name)
    _copy(sources.policy, content / POLICY)
    _copy(signature_beside(sources.policy), content / POLICY_SIGNATURE)
    if sources.deid is not None:
        _copy(sources.deid, content / DEID)
    policy, statements = load_policy(sources.policy), load_statements(sources.statements)
    report = read_report(sources.report / "report.json")
    verdicts = judge(report, policy.gate)
    allow_list = allow_list_of(examined_in(sources.report, report), verdicts)
    card = write_card(
        f"{policy.institution} {model.digest[:12]}",
        Evidence(
            model=model,
            report_manifest=report_manifest,
            report=report,
            policy=policy,
            allow_list=allow_list,
            verdicts=verdicts,
            statements=statements,
        ),
    )
    for name, value in ((ALLOW_LIST, allow_list), (VERDICTS, verdicts), (CARD, card), (PROPOSAL, digests)):
        _write_json(content / name, value)
    (content / CARD_TEXT).write_text(card_text(card), "utf-8")


def _belong_together(model: Manifest, report: Manifest, where: Path) -> None:
    if model.digest not in report.made_from:
        raise LineageError(
            "the report is of another model",
            where=str(where),
            mend="validate this model, then propose it with its own report",
        )


def _copy_made(folder: Path, out: Path, manifest: Manifest) -> None:
    """Copy what the manifest names, and nothing that lies beside it."""
    out.mkdir(parents=True)
    for shard in manifest.shards:
        _copy(folder / shard.path, out / shard.path)
    _copy(folder / MANIFEST, out / MANIFEST)


def _copy(source: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, out, copy_function=shutil.copyfile)
    elif source.exists():
        shutil.copyfile(source, out)


def _write_json(path: Path, value: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n")


def content_digest(bundle: Path) -> str:
    """Give the digest that names a release: of every file of its content."""
    return digest_tree(bundle / CONTENT)


def read_verdicts(content: Path) -> tuple[Verdict, ...]:
    """Read what the gates said when the release was proposed.

    Raises:
        SignatureError: it is absent or not of this form.
    """
    try:
        return msgspec.json.decode((content / VERDICTS).read_bytes(), type=tuple[Verdict, ...])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise SignatureError("the bundle's verdicts cannot be read", where=VERDICTS) from None


def digest_of_files(bundle: Path) -> str:
    """Give the digest of a whole bundle, ledger and signatures included."""
    return digest_of([content_digest(bundle), digest_file(bundle / LEDGER), digest_tree(bundle / SIGNATURES)])
