"""Drafts held against the hospital's files: `bench/drafts.py [PATIENTS] [SEED]`. Simulated.

After the idea of aci-bench: which facts of the visit are kept, which are invented, which required items are
there. The judge reads the FHIR lines and shares no code with the drafts. Kept: conditions, orders, procedures
of the encounter. Invented: a sentence that names a date, a number or a thing that none of its records holds.
"""

import importlib.util
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np

from residency import HospitalSpec
from residency.contract.questions import Answer, Draft
from residency.reasoning import tell
from residency.reasoning.answers import instant
from residency.reasoning.drafts import plans

HERE = Path(__file__).parents[1] / "tests" / "reasoning" / "invented_hospital.py"
DOCUMENTS: tuple[Any, ...] = get_args(Draft.__annotations__["document"])
KEEPS = {  # what of the encounter a document must hold
    "visit_summary": ("Condition", "Procedure", "MedicationRequest"),
    "discharge_summary": ("Condition", "Procedure"),
    "coding_suggestions": ("Condition",),
    "patient_message": ("Condition",),
}
PLAIN = {  # the judge's own dictionary
    "smoking": "nicotine dependence",
    "stroke": "cerebrovascular cerebral infarction",
    "heart attack": "myocardial infarction",
    "shortness of breath": "dyspnea",
    "protein in the urine": "proteinuria",
}
EMPTY = {"and", "the", "with", "without", "not", "for", "since", "last", "was", "seen", "done", "unspecified",
         "other", "personal", "history"}  # fmt: skip
NAMELESS = ("is not known here", "no plain name")  # of what no name is given, a date alone is judged
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"(?<![\w*.-])\d+(?:\.\d+)?(?![\w*-]|\.\d)")
_VALUE = re.compile(r": (\d+(?:\.\d+)?) [^ ]+ on ")


def opened(folder: Path, n_patients: int, seed: int) -> Any:
    """Make the hospital, with notes."""
    found = importlib.util.spec_from_file_location("invented_hospital", HERE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["invented_hospital"] = module
    found.loader.exec_module(module)
    spec = HospitalSpec(n_patients=n_patients, seed=seed, genomes=False, images=False)
    return module, module.made(folder, spec, 1)


def resources(folder: Path) -> dict[str, dict[str, Any]]:
    """Give every FHIR resource by its reference, as JSON."""
    import gzip

    found = {}
    for path in sorted((folder / "hospital" / "fhir").rglob("*.ndjson.gz")):
        with gzip.open(path, "rt") as file:
            for line in file:
                row = json.loads(line)
                if "resourceType" in row and "id" in row:
                    found[f"{row['resourceType']}/{row['id']}"] = row
    return found


def texts(row: Any) -> Iterator[str]:
    """Give every text in a resource."""
    if isinstance(row, dict):
        for value in row.values():
            yield from texts(value)
    elif isinstance(row, list):
        for value in row:
            yield from texts(value)
    else:
        yield str(row)


def display(row: dict[str, Any]) -> str:
    """Give what a resource is of."""
    concept = row.get("code") or row.get("medicationCodeableConcept") or {}
    return str(next((one["display"] for one in concept.get("coding", ()) if one.get("display")), ""))


def is_invented(text: str, cited: list[dict[str, Any]]) -> bool:
    """Whether a sentence names a date, a result or a thing that its records do not hold."""
    held = " ".join(word for row in cited for word in texts(row))
    dates = set(_DATE.findall(held))
    if not set(_DATE.findall(text)) <= dates:
        return True
    north = all("north" in row.get("id", "") for row in cited)
    value = _VALUE.search(text)
    if value and north:  # south's results are shown in other units
        numbers = [float(one) for one in re.findall(r"\d+(?:\.\d+)?", held)]
        if not any(abs(float(value[1]) - one) <= 0.0006 * abs(one) + 1e-9 for one in numbers):
            return True
    kinds = {row["resourceType"] for row in cited} & {"Condition", "Procedure", "MedicationRequest"}
    names = [display(row) for row in cited]
    named = not any(phrase in text for phrase in NAMELESS)
    return bool(kinds) and named and not any(words(one) & words(text) for one in names if one)


def words(text: str) -> set[str]:
    """Give the words that tell what it is, in American spelling, plain ones as doctors say them."""
    said = text.lower().replace("ae", "e").replace("oe", "e")
    for plain, learned in PLAIN.items():
        said = said.replace(plain, learned)
    return set(re.findall(r"[a-z]{3,}", said)) - EMPTY


def kept(document: str, answer: Answer, encounter: list[dict[str, Any]]) -> tuple[int, int]:
    """Count the encounter's facts, and those that some sentence cites."""
    cited = {one.source for said in answer.statements for one in said.citations}
    facts = {
        (row["resourceType"], display(row)) for row in encounter if row["resourceType"] in KEEPS[document]
    }
    named = {
        (kind, name)
        for kind, name in facts
        if any(
            f"{row['resourceType']}/{row['id']}" in cited
            for row in encounter
            if (row["resourceType"], display(row)) == (kind, name)
        )
    }
    return len(facts), len(named)


def main(n_patients: int = 120, seed: int = 5) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        module, hospital = opened(Path(temporary), n_patients, seed)
        charts, files, rng = module.Charts(hospital), resources(Path(temporary)), np.random.default_rng(seed)
        by_encounter: dict[str, list[dict[str, Any]]] = {}
        for row in files.values():
            by_encounter.setdefault(row.get("encounter", {}).get("reference", ""), []).append(row)
        tally = {name: Counter[str]() for name in DOCUMENTS}
        for shard, packed in enumerate(hospital.timelines.shards):
            for patient in range(packed.n_patients):
                for document in DOCUMENTS:
                    one = asked(charts, files, by_encounter, (shard, patient, packed), (document, rng))
                    if one is not None:
                        tally[document].update(one)
    print(
        "| document | drafts | required items there or flagged | facts of the visit kept |"
        " sentences that cite | invented |"
    )
    print("|---|---|---|---|---|---|")
    for name, row in tally.items():
        facts = f"{row['kept']} of {row['facts']}" if name in KEEPS else ""
        print(
            f"| {name.replace('_', ' ')} | {row['drafts']} | {row['there']} of {row['required']} | {facts} |"
            f" {row['cites']} | {row['invented']} |"
        )


def asked(
    charts: Any, files: dict[str, Any], by_encounter: dict[str, Any], who: Any, what: Any
) -> Counter[str] | None:
    """Draft one document of one visit, drawn at random, and judge it; None where there is no such visit."""
    (shard, patient, packed), (document, rng) = who, what
    end = instant(int(packed.moment_time[packed.moments_of(patient)][-1])) + timedelta(days=1)
    whole = charts.at(shard, patient, end)
    stays = [
        row
        for row in whole.visits.tolist()
        if document != "discharge_summary" or whole.named(row).name == "VISIT/IMP"
    ]
    if not stays:
        return None
    row = stays[int(rng.integers(len(stays)))]
    encounter = files[whole.sources[row]]
    closed = datetime.fromisoformat(encounter["period"]["end"]).replace(tzinfo=None) + timedelta(days=2)
    chart = charts.at(shard, patient, closed)
    answer = tell(Draft(document=document, visit=whole.sources[row]), chart, [])
    said = [one for one in answer.statements if one.tag not in ("contradiction", "not_checked")]
    required = plans()[document].required
    there = sum(name in {one.rule for one in said} for name in required)
    cited = [
        (one.text, [files[c.source] for c in one.citations if c.source in files])
        for one in said
        if one.citations
    ]
    judged = [
        is_invented(text, rows)
        for text, rows in cited
        if rows
        and not any(r["resourceType"] in ("DiagnosticReport", "DocumentReference", "Patient") for r in rows)
    ]
    facts, held = (
        kept(document, answer, by_encounter.get(whole.sources[row], [])) if document in KEEPS else (0, 0)
    )
    return Counter({"drafts": 1, "required": len(required), "there": there, "facts": facts, "kept": held,
                    "cites": len(cited), "invented": sum(judged)})  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
