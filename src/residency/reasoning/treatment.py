"""In: a chart, drugs, an outcome, its baseline risk. Out: what speaks against each, then what it may bring.

Point of care: the patient's own risk times a relative effect out of trials, never an effect learned here.
What speaks against a drug comes first, and a drug that something forbids gets no figure.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Final, Literal

import msgspec

from residency.contract.errors import QuestionError
from residency.contract.questions import (
    Answer,
    AnyQuestion,
    Forecast,
    Interval,
    Outcome,
    Risk,
    Statement,
    Treatment,
)
from residency.contract.specs import spec
from residency.reasoning.cautions import safety
from residency.reasoning.chart import Chart
from residency.reasoning.concepts import concepts, concepts_of, rule_table
from residency.reasoning.research import Local, researched
from residency.reasoning.safety import Checked, checked, current
from residency.timeline import Vocabulary

BENEFIT: Final = "benefit"
NO_BENEFIT: Final = "no_figure"
NOTHING_FOUND: Final = "nothing_found"
LOOKED_AT: Final = "looked_at"
NOT_CHECKED: Final = "not_checked"
_NEVER_CHECKED: Final = (
    "dose and route",
    "drugs and interactions beyond the table",
    "drugs bought without a prescription",
    "what the patient wants",
)


@spec
class Effect:
    """A relative effect out of trials; see the table."""

    drug: str
    outcome: str
    among: tuple[str, ...]
    kind: Literal["hazard", "risk"]
    ratio: float
    low: float
    high: float
    basis: str
    against: str = ""
    harm: str = ""

    def applied(self, risk: float, ratio: float) -> float:
        """Give the risk with the drug.

        Example:
            >>> halved = dict(kind="risk", ratio=0.5, low=0.4, high=0.6)
            >>> Effect(drug="", outcome="", among=(), basis="", **halved).applied(0.2, 0.5)
            0.1
        """
        return risk * ratio if self.kind == "risk" else 1 - (1 - risk) ** ratio


@spec
class Trials:
    """All effects."""

    version: str
    effect: tuple[Effect, ...]


@cache
def trials() -> Trials:
    """Read the table.

    Raises:
        SpecError: names every wrong key at once.
        KeyError: an effect speaks of something that the table of concepts lacks.
    """
    return rule_table(
        Trials,
        "trials.toml",
        lambda found: [name for one in found.effect for name in (one.drug, one.outcome, *one.among)],
    )


def baseline(question: Treatment) -> Forecast:
    """Give the forecast that an answer rests on.

    Raises:
        QuestionError: an option is no drug of the tables.
    """
    _ = [drug_of(option) for option in question.options]
    return Forecast(outcomes=(question.outcome,), horizons_days=(question.horizon_days,))


def drug_of(option: str) -> str:
    """Give the concept of an option: a code, or the name of a drug.

    Raises:
        QuestionError: the tables lack it; the nearest that they have are named.
    """
    drugs = [name for name, kind in concepts().kinds.items() if kind == "drug"]
    found = [name for name in concepts_of(option, option) if name in drugs]
    found += [name for name in drugs if option.lower().replace(" ", "_") == name]
    if found:
        return found[0]
    spelled = {
        **{code: code for code in concepts().by_code if code.startswith("RXNORM/")},
        **dict.fromkeys(drugs),
    }
    near = get_close_matches(option.lower() if "/" not in option else option, spelled, n=3, cutoff=0.5)
    raise QuestionError(
        "an option is no drug that the tables know",
        where="options",
        mend=f"nearest known: {', '.join(near)}" if near else f"known: {', '.join(sorted(drugs))}",
    )


def resolved(question: AnyQuestion, vocabulary: Vocabulary) -> AnyQuestion:
    """Give a treatment's options as drugs of the tables where their description names one."""
    if not isinstance(question, Treatment):
        return question
    return msgspec.structs.replace(
        question, options=tuple(_resolved(option, vocabulary) for option in question.options)
    )


def _resolved(option: str, vocabulary: Vocabulary) -> str:
    described = vocabulary.descriptions[vocabulary.index_of(option)]
    return next(
        (name for name in concepts_of(option, described) if concepts().kinds.get(name) == "drug"), option
    )


def weighed(
    question: Treatment, chart: Chart, found: Answer, local: Sequence[Local | None] = ()
) -> tuple[tuple[Risk, ...], tuple[Statement, ...]]:
    """Give risks without and with each drug, and what is to be said.

    Args:
        question: what is asked.
        chart: of the patient.
        found: the answer to `baseline`.
        local: in research mode: what an emulated trial says of each option.

    Raises:
        QuestionError: the mode is research, and there are no emulated trials.
    """
    if question.mode == "research":
        return _researched(question, chart, found, local)
    risks: list[Risk] = list(found.risks)
    said: list[Statement] = []
    for option in question.options:
        drug = drug_of(option)
        seen = checked(chart, drug)
        said += _safety(chart, drug, seen)
        effect, why = _effect(chart, drug, question.outcome)
        if seen.blocked:
            said.append(_no_figure(drug, "something on record forbids it"))
        elif effect is None:
            said.append(_no_figure(drug, why))
        elif not found.risks:
            said.append(_no_figure(drug, "there is no figure for the risk without it"))
        else:
            with_it = _risk(found.risks[0], effect)
            risks.append(with_it)
            said.append(_benefit(chart, found.risks[0], with_it, effect))
    return tuple(risks), tuple(said)


def _researched(
    question: Treatment, chart: Chart, found: Answer, local: Sequence[Local | None]
) -> tuple[tuple[Risk, ...], tuple[Statement, ...]]:
    """Say what speaks against each drug, then what it did here."""
    if not local:
        raise QuestionError(
            "individual effects from local data rest on emulated trials, and none was given",
            where="mode",
            mend='give target trials, or ask with mode = "trial"',
        )
    drugs = [drug_of(option) for option in question.options]
    seen = [checked(chart, drug) for drug in drugs]
    said = [one for drug, against in zip(drugs, seen, strict=True) for one in _safety(chart, drug, against)]
    open_ = [None if against.blocked else one for against, one in zip(seen, local, strict=True)]
    return found.risks, (*said, *researched(question, drugs, open_))


def _safety(chart: Chart, drug: str, seen: Checked) -> Iterator[Statement]:
    """Say what speaks against it; what was looked at, and what was not."""
    name = concepts().says[drug]
    taken = current(chart, drug).tolist()
    if taken:
        text = f"{_upper(name)} was ordered on {chart.date(taken[-1])}: the patient may be taking it."
        yield Statement(text=text, citations=chart.cite(taken), tag="caution")
    for one in seen.against:
        yield Statement(
            text=f"{_upper(name)}: {one.text}", citations=one.citations, tag=one.level, basis=one.basis
        )
    looked = f"(table of {safety().version}): {'; '.join(seen.looked_at) or 'nothing'}."
    if seen.against:
        yield Statement(text=f"Looked at for {name} {looked}", citations=seen.citations, tag=LOOKED_AT)
    else:
        text = f"Nothing was found against {name}; looked at {looked}"
        yield Statement(text=text, citations=seen.citations, tag=NOTHING_FOUND)
    lacking = "; ".join((*seen.not_checked, *_NEVER_CHECKED))
    yield Statement(text=f"Not checked for {name}: {lacking}.", citations=(), tag=NOT_CHECKED)


def _effect(chart: Chart, drug: str, outcome: Outcome) -> tuple[Effect | None, str]:
    """Give the effect that applies to this patient, else why none does."""
    mine = [one for one in trials().effect if one.drug == drug and _is_about(one, outcome)]
    if not mine:
        return None, f"no trial of it for this outcome is in the table of {trials().version}"
    among = [one for one in mine if len(chart.of(*one.among))]
    if not among:
        names = ", ".join(concepts().says[name] for one in mine for name in one.among)
        return None, f"the trial's patients had {names}, which is not on record"
    if len(current(chart, drug)):
        return None, "the patient may be taking it, so that the risk is one with it already"
    fitting = [one for one in among if not one.against or len(current(chart, one.against))]
    if not fitting:
        return None, f"the trial held it against {concepts().says[among[0].against]}, which is not taken"
    return fitting[0], ""


def _is_about(effect: Effect, outcome: Outcome) -> bool:
    """Whether all codes of an outcome are the trial's."""
    return bool(outcome.codes) and all(effect.outcome in concepts_of(code, "") for code in outcome.codes)


def _risk(without: Risk, effect: Effect) -> Risk:
    """Give the risk with the drug; its interval takes the ends of both, and so is wide."""
    interval = without.interval
    low = without.probability if interval is None else interval.low
    high = without.probability if interval is None else interval.high
    name = f"{without.outcome} with {concepts().says[effect.drug]}"
    return Risk(
        outcome=name[:100],
        horizon_days=without.horizon_days,
        probability=effect.applied(without.probability, effect.ratio),
        interval=Interval(low=effect.applied(low, effect.low), high=effect.applied(high, effect.high)),
    )


def _benefit(chart: Chart, without: Risk, with_it: Risk, effect: Effect) -> Statement:
    less = without.probability - with_it.probability
    treated = f"{1 / less:.0f}" if less > 1e-4 else "more than 10,000"
    who = int(chart.of(*effect.among)[0])
    text = (
        f"{_upper(concepts().says[effect.drug])}: {without.outcome.replace('_', ' ')} within"
        f" {without.horizon_days:g} days, {without.probability:.1%} without and"
        f" {with_it.probability:.1%} with it ({effect.kind} ratio {effect.ratio:g}, {effect.low:g} to"
        f" {effect.high:g}, in patients with {chart.named(who).says}); {treated} treated for one fewer. An"
        f" effect on average in a trial, not this patient's own. {effect.harm}"
    ).strip()
    return Statement(text=text, citations=chart.cite([who]), tag=BENEFIT, basis=effect.basis)


def _no_figure(drug: str, why: str) -> Statement:
    return Statement(text=f"No figure for {concepts().says[drug]}: {why}.", citations=(), tag=NO_BENEFIT)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
