"""In: report, manifests, verdicts and statements. Out: a model card, written from measurements."""

import dataclasses
from importlib.resources import files
from typing import Any, Final

import jinja2
import msgspec

from residency.contract.lineage import Manifest
from residency.contract.report import Metric, Report, Slice
from residency.release.allow_list import AllowList, said
from residency.release.gates import Verdict
from residency.release.policy import ReleasePolicy
from residency.release.statements import Statements, owner_of

NOT_A_DEVICE: Final = (
    "Not a cleared medical device. It supports a clinician, who decides; it never acts by itself."
)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on one slice of one task."""

    task: str
    slice: str
    patients: int
    events: int
    can_tell: bool
    model: dict[str, Metric]
    baseline: dict[str, Metric]
    paired: dict[str, Metric]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A model card: measured facts, and what people stated or have yet to state.

    Attributes:
        name: of the model.
        notice: what it is not.
        demo: whether it is for show only.
        institution: that releases it.
        policy: that it was judged by.
        model: digest of the model folder's manifest.
        report: digest of the report folder's manifest.
        code_version: that trained it.
        trained_with: settings of the training.
        training_data: counts, as the training's manifest has them.
        simulated: whether the patients were simulated; None where the report does not say.
        allow_list: what it may answer for.
        figures: what was measured.
        verdicts: of the gates.
        stated: what people stated.
        to_be_stated: what is still asked for, and of whom.
    """

    name: str
    notice: str
    demo: bool
    institution: str
    policy: str
    model: str
    report: str
    code_version: str
    trained_with: dict[str, Any]
    training_data: dict[str, Any]
    simulated: bool | None
    allow_list: AllowList
    figures: tuple[Figures, ...]
    verdicts: tuple[Verdict, ...]
    stated: dict[str, str]
    to_be_stated: dict[str, str]
    version: int = 1


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All that a card is written from."""

    model: Manifest
    report_manifest: Manifest
    report: Report
    policy: ReleasePolicy
    allow_list: AllowList
    verdicts: tuple[Verdict, ...]
    statements: Statements


def write_card(name: str, evidence: Evidence) -> Card:
    """Write a card from what was measured and stated, and from nothing else."""
    stated = {key: text for key, text in dataclasses.asdict(evidence.statements).items() if text.strip()}
    about = evidence.report.about
    return Card(
        name=name,
        notice=NOT_A_DEVICE,
        demo=evidence.policy.is_demo,
        institution=evidence.policy.institution,
        policy=f"{evidence.policy.name}, version {evidence.policy.version}",
        model=evidence.model.digest,
        report=evidence.report_manifest.digest,
        code_version=evidence.model.code_version,
        trained_with=evidence.model.spec,
        training_data={"rows": msgspec.to_builtins(evidence.model.rows), **evidence.model.result},
        simulated=None if "simulated" not in about else about["simulated"].lower() in {"true", "yes"},
        allow_list=evidence.allow_list,
        figures=tuple(
            _figures(task, name, measured)
            for task, slices in sorted(evidence.report.tasks.items())
            for name, measured in sorted(slices.items(), key=lambda item: (item[0] != "all", item[0]))
        ),
        verdicts=evidence.verdicts,
        stated=stated,
        to_be_stated={key: f"to be stated by {owner_of(key)}" for key in evidence.statements.missing},
    )


def _figures(task: str, name: str, measured: Slice) -> Figures:
    return Figures(
        task=task,
        slice=name,
        patients=measured.patients,
        events=measured.events,
        can_tell=measured.can_tell,
        model=measured.model,
        baseline=measured.baseline,
        paired=measured.paired,
    )


def card_text(card: Card) -> str:
    """Give a card as Markdown; marks in what people stated are inert."""
    environment = jinja2.Environment(  # Markdown: `inert` escapes, where HTML rules would spoil the tables
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"inert": _inert, "metric": said, "words": lambda name: name.replace("_", " ")}
    template = environment.from_string(
        files("residency.release").joinpath("model_card.md.jinja").read_text("utf-8")
    )
    return template.render(card=card)


def _inert(text: object) -> str:
    """Take the power of markup from text: HTML, tables, links."""
    plain = " ".join(str(text).split())
    for mark, harmless in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("[", "\\["),
        ("`", "'"),
    ):
        plain = plain.replace(mark, harmless)
    return plain
