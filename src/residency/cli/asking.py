"""In: a model, timelines, a patient and a question. Out: the answer, for a person or a machine."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import numpy as np
import polars as pl
import typer

import residency
from residency.cli.show import Json
from residency.contract.errors import QuestionError
from residency.contract.questions import (
    Answer,
    AnyQuestion,
    Citation,
    Draft,
    Forecast,
    LikeThis,
    Modality,
    read_question,
)
from residency.contract.specs import load_toml
from residency.model import adaptation
from residency.reasoning import alike_of, emulate, load_trial, phrased, speaker_of
from residency.reasoning.answers import microseconds
from residency.timeline.building import SOURCE_FILE


def ask(  # noqa: PLR0913 - what the command line has
    model: Annotated[Path, typer.Argument(help="Folder that train made.")],
    timelines: Annotated[Path, typer.Argument(help="Folder that build made.")],
    subject: Annotated[int, typer.Option(help="subject_id of the patient.")],
    question: Annotated[Path, typer.Option(help="The question, in TOML or JSON.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(help="Only what was available by then is looked at; else the patient's latest moment."),
    ] = None,
    without: Annotated[
        str, typer.Option(help="Kinds of records to leave out, with commas: notes,images,variants.")
    ] = "",
    trial: Annotated[
        list[Path] | None,
        typer.Option(help="Target trial to emulate on the train patients, in TOML; for mode = research."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a model about one patient.

    Example: residency ask work/model work/timelines --subject 123 --as-of 2019-05-01 --question question.toml
    """
    asked = _leaving_out(read_file(question), without)
    answer = _ask(model, timelines, (subject, as_of), asked, trial or ())
    typer.echo(msgspec.json.encode(answer).decode() if as_json else _words(answer))


def read_file(path: Path) -> AnyQuestion:
    """Read a question from TOML or JSON.

    Raises:
        QuestionError: it cannot be read.
    """
    if path.suffix == ".toml":
        return read_question(load_toml(path))
    try:
        return read_question(path.read_bytes())
    except OSError as error:
        raise QuestionError("cannot read the question", where=str(path), mend=type(error).__name__) from None


def _leaving_out(question: AnyQuestion, without: str) -> AnyQuestion:
    """Allow only the other kinds of records."""
    gone = {kind.strip() for kind in without.split(",") if kind.strip()}
    if unknown := gone - {"notes", "images", "variants"}:
        raise QuestionError(
            f"{len(unknown)} kinds of records are unknown",
            where="--without",
            mend="choose from: notes, images, variants",
        )
    if not gone or not isinstance(question, Forecast):
        return question
    named = question.modalities
    allowed = get_args(Modality) if isinstance(named, msgspec.UnsetType) else named
    kept = tuple(kind for kind in allowed if kind not in gone)
    return msgspec.structs.replace(question, modalities=kept)


def _ask(
    folder: Path,
    packed: Path,
    when: tuple[int, datetime | None],
    question: AnyQuestion,
    trials: Sequence[Path],
) -> Answer:
    subject, as_of = when
    model = residency.Model.open(folder)
    timelines = adaptation.in_words_of(residency.Timelines.open(packed), model)
    place = timelines.locate(subject)
    shard = timelines.shards[place.shard]
    latest = shard.moment_time[shard.moments_of(place.patient)][-1]
    time = latest if as_of is None else microseconds(as_of)
    index = residency.Index(np.array([place.patient]), np.array([time], np.int64))
    attachments = timelines.attachments(place.shard)
    records = pl.read_parquet(timelines.paths[place.shard] / SOURCE_FILE)
    alike = alike_of(model, timelines) if isinstance(question, LikeThis) else None
    effects = [emulate(timelines, load_trial(one)) for one in trials]
    answer = residency.ask(
        model,
        shard,
        [question],
        index,
        attachments=attachments,
        records=records,
        alike=alike,
        effects=effects,
    )[0]
    url = os.environ.get("LANGUAGE_MODEL_URL", "")
    return phrased(answer, speaker_of(url)) if url and isinstance(question, Draft) else answer


def _place(citation: Citation) -> str:
    """Say which record, and where in it."""
    if citation.region is not None:
        left, top, right, bottom = citation.region
        return f"{citation.source}, {left:.0%} to {right:.0%} across, {top:.0%} to {bottom:.0%} down"
    if citation.start is not None:
        return f"{citation.source}, characters {citation.start} to {citation.end}"
    return citation.source


def _words(answer: Answer) -> str:
    lines = [
        f"as of {answer.as_of:%Y-%m-%d %H:%M}" + (" (research: not a release)" if answer.research else "")
    ]
    for risk in answer.risks:
        band = f" (90%: {risk.interval.low:.1%} to {risk.interval.high:.1%})" if risk.interval else ""
        lines.append(f"  {risk.outcome} within {risk.horizon_days:g} days: {risk.probability:.1%}{band}")
    for statement in answer.statements:
        cited = ", ".join(one.source for one in statement.citations)
        lines.append(f"  [{statement.tag}] {statement.text}" + (f" ({cited})" if cited else ""))
    lines += [
        f"  moved the model: {one.code} ({_place(one.citation)}), risk {one.change:+.1%} without it"
        for one in answer.moved
    ]
    lines += [f"  read: {', '.join(answer.modalities)}"]
    lines += [
        f"  {item.outcome or 'all'}: no answer, {item.reason.replace('_', ' ')} {item.detail}".rstrip()
        for item in answer.abstentions
    ]
    return "\n".join(lines)
