"""In: a chart and a drug. Out: what speaks against it, by tables with sources; what could not be checked."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from residency.contract.packed import DAY
from residency.contract.questions import Citation
from residency.model.encoders.stars import Call, call, genes
from residency.model.encoders.variants import variants_of
from residency.reasoning.cautions import InteractionRule, Level, safety
from residency.reasoning.chart import Chart, Rows, number
from residency.reasoning.concepts import concepts

CURRENT_DAYS: Final = 400.0  # orders have no end: what was ordered within so many days counts as taken
_STAR: Final = re.compile(r"\*\d+[A-Z]?")
_REFERENCE: Final = frozenset({"*1"})


@dataclass(frozen=True)
class Against:
    """Something that speaks against a drug."""

    level: Level
    text: str
    citations: tuple[Citation, ...]
    basis: str


@dataclass(frozen=True)
class Checked:
    """What was looked at for a drug.

    Attributes:
        against: what speaks against it, what forbids it first.
        looked_at: what was checked, in words.
        not_checked: what was not, and why.
        citations: records that a check rests on although nothing was found.
    """

    against: tuple[Against, ...]
    looked_at: tuple[str, ...]
    not_checked: tuple[str, ...]
    citations: tuple[Citation, ...]

    @property
    def blocked(self) -> bool:
        """Whether anything forbids it."""
        return any(one.level == "blocked" for one in self.against)


@dataclass
class _Desk:
    """One drug being checked."""

    chart: Chart
    drug: str
    against: list[Against]
    looked_at: list[str]
    not_checked: list[str]
    citations: list[Citation]

    def concerns(self, drugs: tuple[str, ...]) -> bool:
        """Whether a rule for some drugs and classes is about this one."""
        return any(self.drug in concepts().members(name) for name in drugs)


def checked(chart: Chart, drug: str) -> Checked:
    """Check a drug against everything the table knows of.

    Args:
        chart: of the patient.
        drug: a concept.
    """
    desk = _Desk(chart, drug, [], [], [], [])
    steps: tuple[Callable[[_Desk], None], ...] = (
        _allergies, _conditions, _values, _interactions, _genes, _alleles, _uncalled
    )  # fmt: skip
    for step in steps:
        step(desk)
    if chart.n_unread:
        desk.not_checked.append(f"{chart.n_unread} records whose code is not known here")
    return Checked(
        tuple(sorted(desk.against, key=lambda one: one.level != "blocked")),
        tuple(desk.looked_at),
        tuple(dict.fromkeys(desk.not_checked)),
        tuple(dict.fromkeys(desk.citations)),
    )


def current(chart: Chart, *names: str) -> Rows:
    """Give the latest order of each drug that was ordered of late."""
    rows = chart.of(*names)
    rows = rows[chart.time[rows] > chart.as_of - CURRENT_DAYS * DAY]
    newest = {int(chart.code[row]): int(row) for row in rows}
    return np.array(sorted(newest.values()), np.int64)


def _allergies(desk: _Desk) -> None:
    chart = desk.chart
    n = len(chart.prefixed("ALLERGY/"))
    own = chart.allergies(desk.drug).tolist()
    if own:
        desk.against.append(
            Against("blocked", f"Allergy to {_says(desk.drug)} is on record.", chart.cite(own), "the record")
        )
    for rule in safety().cross:
        rows = [row for row in chart.allergies(*rule.allergens).tolist() if row not in own]
        if desk.concerns(rule.drugs) and rows:
            desk.against.append(
                Against(rule.level, f"{_upper(rule.says)} is on record.", chart.cite(rows), rule.basis)
            )
    if n:
        desk.looked_at.append(f"{n} allergies on record")
        desk.citations += chart.cite(chart.prefixed("ALLERGY/").tolist())
    else:
        desk.not_checked.append("allergies (none are on record, which does not say that there are none)")


def _conditions(desk: _Desk) -> None:
    chart = desk.chart
    looked: list[str] = []
    for rule in safety().condition:
        if not desk.concerns(rule.drugs):
            continue
        looked += rule.conditions
        for name in rule.conditions:
            rows = chart.of(name).tolist()
            if rows:
                text = f"{_upper(_says(name))} is on record since {chart.date(rows[0])}: {rule.says}."
                desk.against.append(Against(rule.level, text, chart.cite([rows[0], rows[-1]]), rule.basis))
    if looked:
        desk.looked_at.append(
            "conditions on record: " + ", ".join(_says(one) for one in dict.fromkeys(looked))
        )


def _values(desk: _Desk) -> None:
    chart = desk.chart
    for rule in safety().value:
        if not desk.concerns(rule.drugs):
            continue
        rows = chart.of(rule.of)
        fresh = np.isfinite(chart.value[rows]) & (chart.time[rows] > chart.as_of - rule.fresh_days * DAY)
        if not fresh.any():
            desk.not_checked.append(f"{_says(rule.of)} (no value of the last {rule.fresh_days:.0f} days)")
            continue
        row = int(rows[fresh][-1])
        value = float(chart.value[row])
        said = f"{_says(rule.of)} {number(value)} {chart.named(row).unit} on {chart.date(row)}"
        desk.looked_at.append(said)
        desk.citations += chart.cite([row])
        if (rule.above is not None and value > rule.above) or (rule.below is not None and value < rule.below):
            desk.against.append(
                Against(rule.level, f"{_upper(said)}: {rule.says}.", chart.cite([row]), rule.basis)
            )


def _interactions(desk: _Desk) -> None:
    chart = desk.chart
    looked: list[str] = []
    for others, rule in _partners(desk):
        looked += others
        for row in current(chart, *others).tolist():
            text = f"With {chart.named(row).says} (ordered {chart.date(row)}): {rule.says}."
            desk.against.append(Against(rule.level, text, chart.cite([row]), rule.basis))
    if looked:
        names = ", ".join(_says(one) for one in dict.fromkeys(looked))
        desk.looked_at.append(f"orders of the last {CURRENT_DAYS:.0f} days for {names}")


def _partners(desk: _Desk) -> Iterator[tuple[tuple[str, ...], InteractionRule]]:
    """Give the other drugs of each rule, whichever side of it this drug is on."""
    for rule in safety().interaction:
        for mine, others in ((rule.drugs, rule.others), (rule.others, rule.drugs)):
            if desk.concerns(mine):
                members = [one for name in others for one in concepts().members(name) if one != desk.drug]
                yield tuple(members), rule
                break


def _genes(desk: _Desk) -> None:
    for rule in safety().gene:
        if not desk.concerns(rule.drugs):
            continue
        found = called(desk.chart, rule.gene)
        if found is None or found[0].phenotype is None:
            why = "not on record" if found is None else "its alleles are not in the table"
            desk.not_checked.append(f"gene {rule.gene} ({why})")
            continue
        said, cite = found
        text = f"{rule.gene}: {said.phenotype}"
        desk.looked_at.append(text)
        desk.citations.append(cite)
        level = rule.phenotypes.get(str(said.phenotype))
        if level is not None:
            kind: Level = "blocked" if level == "blocked" else "caution"
            desk.against.append(Against(kind, f"{text}: {rule.says}.", (cite,), rule.basis))


def called(chart: Chart, gene: str) -> tuple[Call, Citation] | None:
    """Give what the newest genome on record says of a gene; None where no row tells of it.

    A star allele that the table lacks gives no phenotype: it is not taken for the reference.
    """
    known = next((one for one in genes() if one.name == gene), None)
    if known is None:
        return None
    for source, _, rows in reversed(chart.genomes):
        mine = list(variants_of(rows))
        found = call(known, mine)
        if found is not None:
            listed = {allele.name for allele in known.alleles} | _REFERENCE
            named = {star for one in mine if one.name.startswith(gene) for star in _STAR.findall(one.name)}
            strange = gene != "HLA-B" and bool(named - listed)
            return (found._replace(phenotype=None) if strange else found), Citation(source=source)
    return None


def _alleles(desk: _Desk) -> None:
    for rule in safety().allele:
        if not desk.concerns(rule.drugs):
            continue
        holders = [
            source
            for source, _, rows in desk.chart.genomes
            if rows["name"].fill_null("").str.starts_with(rule.allele).any()
        ]
        if holders:
            cited = tuple(Citation(source=source) for source in holders)
            desk.against.append(
                Against("blocked", f"{rule.allele} is there: {rule.says}.", cited, rule.basis)
            )
        else:
            desk.not_checked.append(
                f"{rule.allele} (not on record; that it was looked for and absent is not told)"
            )


def _uncalled(desk: _Desk) -> None:
    for rule in safety().uncalled:
        if desk.concerns(rule.drugs):
            desk.not_checked.append(f"gene {rule.gene} (nothing here reads it; {rule.basis})")


def _says(name: str) -> str:
    return concepts().says[name]


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
