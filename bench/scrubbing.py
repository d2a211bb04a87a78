"""How well notes lose their identities, and how fast: simulated notes, another generator's, tagged queries.

    python bench/scrubbing.py --hospital HOSPITAL RECORDS   # what `simulate` made, and what `ingest` made of it
    python bench/scrubbing.py --fhir FOLDER                 # another generator's FHIR R4, as NDJSON
    python bench/scrubbing.py --queries [FILE]              # ASQ-PHI's tagged queries; default ../shared/data
    … --presidio                                            # Presidio alone beside, where it is installed
    … --misses                                              # print what was missed (invented data only!)

A marked span counts as found where every word of it that names somebody is covered. Precision: of the letters and digits
that are covered, the share that is marked.
"""

import base64
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from residency.deid.classifiers import classifier_of
from residency.deid.day_forms import Clock
from residency.deid.known import Known, known_of
from residency.deid.lexicon import lexicon
from residency.deid.scrubber import Search, find_spans
from residency.deid.spans import Span

QUERIES = Path(__file__).parents[2] / "shared" / "data" / "asq_phi_first_500.txt"
NAMES = {"name", "staff", "relative", "NAME"}
# Of a marked span, these words name nobody: titles, kinds of places, states, which may stay.
PLAIN = set(
    "dr mr mrs ms the on in of and at for our s th patient id site mrn clinic hospital facility office center health general medical "
    "city county er hosp med children women cancer neurology downtown last week am pm".split()
)
STATES = {"ga", "ca", "il", "mn", "mi", "ct", "ny", "ma", "tx", "va", "me", "al", "ak", "texas"}


@dataclass
class Case:
    """One note, who its patient is, and what in it is marked: start, end, kind."""

    patient: str
    text: str
    marks: list[tuple[int, int, str]]
    known: Known = field(default_factory=Known)
    written: date | None = None


def hospital(truth: Path, records: Path) -> Iterator[Case]:
    """Give the notes of a simulated hospital with their true spans."""
    notes = pl.read_parquet(records / "notes" / "*.parquet")
    who = {
        subject: known_of(zip(kinds, values, strict=True))
        for subject, kinds, values in pl.read_parquet(records / "metadata" / "identifiers.parquet")
        .group_by("subject_id")
        .agg("kind", "value")
        .iter_rows()
    }
    marks = pl.read_parquet(truth / "truth" / "notes.parquet").filter(what="identifier")
    spans = {
        source: list(zip(starts, ends, kinds, strict=True))
        for source, starts, ends, kinds in marks.group_by("source").agg("start", "end", "kind").iter_rows()
    }
    for subject, source, time_, text in notes.select("subject_id", "source", "time", "text").iter_rows():
        found = spans.get(source)
        if found is not None:
            yield Case(str(subject), text, found, who.get(subject, Known()), time_.date() if time_ else None)


def queries(path: Path) -> Iterator[Case]:
    """Give ASQ-PHI's queries; no patient is known there."""
    for number, block in enumerate(path.read_text("utf-8").split("===QUERY===\n")[1:]):
        text, _, tags = block.partition("===PHI_TAGS===")
        text = text.strip()
        marks = []
        for line in tags.strip().splitlines():
            tag = json.loads(line)
            for hit in re.finditer(re.escape(tag["value"]), text):
                marks.append((hit.start(), hit.end(), tag["identifier_type"]))
        yield Case(str(number), text, marks)


def fhir(folder: Path) -> Iterator[Case]:
    """Give another generator's notes; marked is every whole mention of a patient's or a practitioner's names."""

    def rows(kind: str) -> list[dict]:
        paths = sorted(folder.rglob(f"{kind}*.ndjson"))
        return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines() if line]

    people, staff = {}, set()
    for one in rows("Patient"):
        people[one["id"]] = _identifiers(one)
    for one in rows("Practitioner"):
        staff |= {
            word for name in one.get("name", []) for word in (*name.get("given", []), name.get("family", ""))
        }
    staff = {
        word for word in staff if len(word) > 2 and word.lower() not in lexicon().words
    }  # "Day 5" is no Dr. Day
    for one in (*rows("DocumentReference"), *rows("DiagnosticReport"), *rows("Composition")):
        patient = (one.get("subject") or {}).get("reference", "").split("/")[-1]
        for text in _texts(one):
            mine = people.get(patient, [])
            words = {
                word for kind, value in mine if kind == "name" for word in value.split() if len(word) > 2
            }
            marks = [(*hit.span(), "name") for hit in _mentions(words, text)]
            marks += [(*hit.span(), "staff") for hit in _mentions(staff - words, text)]
            marks += [
                (*hit.span(), kind)
                for kind, value in mine
                if kind != "name"
                for hit in re.finditer(re.escape(value), text)
            ]
            marks += [(*hit.span(), "date") for hit in re.finditer(r"\b(?:19|20)\d\d-\d\d-\d\d\b", text)]
            yield Case(patient, text, sorted(set(marks)), known_of(mine))


def _mentions(words: set[str], text: str) -> Iterator[re.Match[str]]:
    if words:
        yield from re.finditer(r"\b(?:" + "|".join(map(re.escape, sorted(words))) + r")\b", text)


def _identifiers(patient: dict) -> list[tuple[str, str]]:
    found = [("number", one["value"]) for one in patient.get("identifier", []) if "value" in one]
    found += [
        ("name", " ".join((*one.get("given", []), one.get("family", "")))) for one in patient.get("name", [])
    ]
    found += [
        ("telephone", one["value"]) for one in patient.get("telecom", []) if one.get("system") == "phone"
    ]
    for one in patient.get("address", []):
        found += [
            ("address", value)
            for value in (*one.get("line", []), one.get("city"), one.get("postalCode"))
            if value
        ]
    return [*found, ("date_of_birth", patient.get("birthDate", ""))]


def _texts(resource: dict) -> Iterator[str]:
    for part in (
        *resource.get("content", []),
        *({"attachment": one} for one in resource.get("presentedForm", [])),
    ):
        if data := part["attachment"].get("data"):
            yield base64.b64decode(data).decode("utf-8")
    for section in resource.get("section", []):
        if div := (section.get("text") or {}).get("div"):
            yield re.sub(r"<[^>]+>", "\n", div)


def measure(
    cases: Sequence[Case], find: Callable[[Case], Sequence[Span]], name: str, *, misses: bool
) -> None:
    """Print recall by kind, precision, patients with a leak, and speed."""
    found, marked = Counter[str](), Counter[str]()
    leaking, both, covered_only, seconds = set[str](), 0, 0, 0.0
    flagged_clean = 0
    for case in cases:
        began = time.process_time()
        spans = find(case)
        seconds += time.process_time() - began
        covered, true = bytearray(len(case.text)), bytearray(len(case.text))
        for span in spans:
            covered[span.start : span.end] = b"\1" * (span.end - span.start)
        for start, end, kind in case.marks:
            true[start:end] = b"\1" * (end - start)
            marked[kind] += 1
            left = _left(case.text, start, end, covered)
            found[kind] += not left
            if left:
                leaking.add(case.patient)
                if misses:
                    print("  missed", kind, repr(case.text[max(0, start - 20) : end + 20]), left)
        both += sum(a & b for a, b in zip(covered, true, strict=True))
        extra = [
            i
            for i, (a, b) in enumerate(zip(covered, true, strict=True))
            if a and not b and case.text[i].isalnum()
        ]
        covered_only += len(extra)
        flagged_clean += bool(spans) and not case.marks
        if misses and extra:
            for span in spans:
                if not any(true[span.start : span.end]):
                    print(
                        "  extra",
                        span.kind,
                        repr(case.text[max(0, span.start - 20) : span.end + 15]),
                        "→",
                        case.text[span.start : span.end],
                    )
    clean = sum(not case.marks for case in cases)
    all_, named = sum(marked.values()), sum(marked[kind] for kind in NAMES)
    print(
        f"{name}: {len(cases)} notes, {sum(len(case.text) for case in cases) // max(1, len(cases))} characters each, {all_} marked spans"
    )
    print(
        f"  recall: all {sum(found.values()) / max(1, all_):.4f}, names {sum(found[kind] for kind in NAMES) / max(1, named):.4f}, "
        + ", ".join(f"{kind} {found[kind]}/{marked[kind]}" for kind in sorted(marked))
    )
    print(
        f"  precision {both / max(1, both + covered_only):.4f}; patients with a leak {len(leaking)} of {len({one.patient for one in cases})}; "
        f"unmarked notes touched {flagged_clean} of {clean}; {len(cases) / max(seconds, 1e-9):.0f} notes/s of processor time"
    )


def _left(text: str, start: int, end: int, covered: bytearray) -> list[str]:
    """Give the words of a marked span that still stand and name somebody."""
    words = [
        (start + one.start(), start + one.end(), one.group())
        for one in re.finditer(r"[^\W_]+", text[start:end])
    ]
    return [word for a, b, word in words if not all(covered[a:b]) and word.lower() not in PLAIN | STATES]


def main() -> None:
    """Measure what the command line names."""
    words, flags = (
        [one for one in sys.argv[1:] if not one.startswith("--")],
        {one for one in sys.argv[1:] if one.startswith("--")},
    )
    if "--hospital" in flags:
        cases = list(hospital(Path(words[0]), Path(words[1])))
    elif "--fhir" in flags:
        cases = list(fhir(Path(words[0])))
    else:
        cases = list(queries(Path(words[0]) if words else QUERIES))
    if "--presidio" in flags:
        classifier = classifier_of("presidio", everything=True)
        measure(cases, lambda case: classifier(case.text), "Presidio alone", misses=False)
        unsure = classifier_of("presidio")
        measure(
            cases,
            lambda case: find_spans(case.text, case.known, Clock(case.written), Search(classifier=unsure)),
            "known identifiers, rules, Presidio",
            misses=False,
        )
    if "--unknown" in flags:
        measure(
            cases,
            lambda case: find_spans(case.text, Known(), Clock(case.written)),
            "rules alone",
            misses=False,
        )
    measure(
        cases,
        lambda case: find_spans(case.text, case.known, Clock(case.written)),
        "known identifiers and rules",
        misses="--misses" in flags,
    )


if __name__ == "__main__":
    main()
