"""How well notes lose their identities, how fast: simulated, another generator's, tagged queries.

    python bench/scrubbing.py --hospital HOSPITAL RECORDS   # of `simulate` and `ingest`
    python bench/scrubbing.py --fhir FOLDER                 # another generator's FHIR R4, as NDJSON
    python bench/scrubbing.py --queries [FILE]              # ASQ-PHI's tagged queries; default ../shared/data
    … --presidio                                            # Presidio alone beside, where it is installed
    … --every 40                                            # every fortieth note alone
    … --whole                                               # besides: with surrogates and leak scan
    … --misses                                              # print what was missed (invented data only!)

A marked span counts as found where every word of it that names somebody is covered; beside it stands the
share of spans of which every word is, titles, states, words such as "clinic" too. Precision: of the letters
and digits that are covered, the share that is marked.
"""

import argparse
import base64
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from residency.contract.processes import spread
from residency.deid import Policy
from residency.deid.classifiers import classifier_of
from residency.deid.day_forms import Clock
from residency.deid.known import Known, known_of
from residency.deid.lexicon import lexicon
from residency.deid.notes import hide_notes
from residency.deid.people import people_of
from residency.deid.scrubber import Search, find_spans
from residency.deid.spans import Span

QUERIES = Path(__file__).parents[2] / "shared" / "data" / "asq_phi_first_500.txt"
NAMES = {"name", "staff", "relative", "NAME"}
# Of a marked span, these words name nobody: titles, kinds of places, states, which may stay.
PLAIN = frozenset(
    (
        *(
            "dr",
            "mr",
            "mrs",
            "ms",
            "the",
            "on",
            "in",
            "of",
            "and",
            "at",
            "for",
            "our",
            "s",
            "th",
            "patient",
            "id",
            "site",
        ),
        *(
            "mrn",
            "clinic",
            "hospital",
            "facility",
            "office",
            "center",
            "health",
            "general",
            "medical",
            "city",
            "county",
        ),
        *("er", "hosp", "med", "children", "women", "cancer", "neurology", "downtown", "last", "week"),
    )
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
    """Give another generator's notes; marked are patients' and practitioners' names."""

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


@dataclass
class Tally:
    """What was found, of what was marked."""

    marked: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    whole: int = 0  # spans of which every letter and digit is covered
    leaking: set[str] = field(default_factory=set)
    right: int = 0  # letters and digits, covered and marked
    wrong: int = 0  # covered and not marked
    touched: int = 0  # notes without a mark in which something was covered
    seconds: float = 0.0

    def add(self, case: Case, spans: Sequence[Span], *, misses: bool) -> None:
        """Count one note."""
        covered, true = bytearray(len(case.text)), bytearray(len(case.text))
        for span in spans:
            covered[span.start : span.end] = b"\1" * (span.end - span.start)
        for start, end, kind in case.marks:
            true[start:end] = b"\1" * (end - start)
            left = _left(case.text, start, end, covered)
            self.marked[kind] += 1
            self.found[kind] += not left
            self.whole += all(covered[i] for i in range(start, end) if case.text[i].isalnum())
            self.leaking |= {case.patient} if left else set()
            if left and misses:
                print("  missed", kind, repr(case.text[max(0, start - 20) : end + 20]), left)
        states = [(a, b) for a, b, c in zip(covered, true, case.text, strict=True) if c.isalnum()]
        self.right += sum(a & b for a, b in states)
        self.wrong += sum(a and not b for a, b in states)
        self.touched += bool(spans) and not case.marks
        if misses:
            _print_extra(case, spans, true)


def _print_extra(case: Case, spans: Sequence[Span], true: bytearray) -> None:
    for span in spans:
        if not any(true[span.start : span.end]):
            shown = case.text[max(0, span.start - 20) : span.end + 15]
            print("  extra", span.kind, repr(shown), "→", case.text[span.start : span.end])


def measure(
    cases: Sequence[Case], find: Callable[[Case], Sequence[Span]], name: str, *, misses: bool
) -> None:
    """Print recall by kind, precision, patients with a leak, and speed."""
    tally = Tally()
    for case in cases:
        began = time.process_time()
        spans = find(case)
        tally.seconds += time.process_time() - began
        tally.add(case, spans, misses=misses)
    n, all_ = max(1, len(cases)), max(1, tally.marked.total())
    named, found_names = (sum(one[kind] for kind in NAMES) for one in (tally.marked, tally.found))
    print(
        f"{name}: {len(cases)} notes of {sum(len(one.text) for one in cases) // n} characters, {all_} spans"
    )
    print(
        f"  recall: all {tally.found.total() / all_:.4f}, names {found_names / max(1, named):.4f};", end=" "
    )
    print(f"every word covered, plain ones too {tally.whole / all_:.4f}")
    print(
        "  " + ", ".join(f"{kind} {tally.found[kind]}/{tally.marked[kind]}" for kind in sorted(tally.marked))
    )
    print(f"  precision {tally.right / max(1, tally.right + tally.wrong):.4f};", end=" ")
    print(f"patients with a leak {len(tally.leaking)} of {len({one.patient for one in cases})};", end=" ")
    print(f"unmarked notes touched {tally.touched} of {sum(not one.marks for one in cases)};", end=" ")
    print(f"{n / max(tally.seconds, 1e-9):.0f} notes/s of processor time")


def _left(text: str, start: int, end: int, covered: bytearray) -> list[str]:
    """Give the words of a marked span that still stand and name somebody."""
    words = [
        (start + one.start(), start + one.end(), one.group())
        for one in re.finditer(r"[^\W_]+", text[start:end])
    ]
    return [word for a, b, word in words if not all(covered[a:b]) and word.lower() not in PLAIN | STATES]


def whole(truth: Path, records: Path, every: int) -> None:
    """Time all that is done to a data set's notes: spans, surrogates, the leak scan, pseudonyms.

    By one process, and as `deidentify` does it: by as many as there are cores, their start included.
    """
    policy = Policy(key_file=Path("nowhere"))
    notes = pl.read_parquet(records / "notes" / "*.parquet")
    chosen = notes["subject_id"].unique().sort()[::every]
    events = pl.scan_parquet(records / "data" / "*.parquet").filter(
        pl.col("subject_id").is_in(chosen.implode())
    )
    people = people_of(chosen.to_numpy(), events.collect(), policy, b"k" * 32)
    known = pl.read_parquet(records / "metadata" / "identifiers.parquet")
    mine, who = (one.filter(pl.col("subject_id").is_in(chosen.implode())) for one in (notes, known))
    for name, over in {"one process": map, f"{os.cpu_count()} processes": spread}.items():
        began = time.perf_counter()
        hidden = hide_notes(mine, people, who, policy, b"k" * 32, over=over)
        seconds = time.perf_counter() - began
        left = hidden.dropped["notes: a known identifier was left"]
        print(
            f"all that is done, {name}: {len(mine)} notes, {len(mine) / seconds:.0f} a second;",
            f"{left} left behind",
        )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hospital", nargs=2, type=Path)
    parser.add_argument("--fhir", type=Path)
    parser.add_argument("--queries", nargs="?", type=Path, default=QUERIES)
    parser.add_argument("--every", type=int, default=1)
    for flag in ("presidio", "unknown", "whole", "misses"):
        parser.add_argument(f"--{flag}", action="store_true")
    asked = parser.parse_args()
    if asked.hospital:
        cases = list(hospital(*asked.hospital))
    else:
        cases = list(fhir(asked.fhir) if asked.fhir else queries(asked.queries))
    cases = cases[:: asked.every]
    lexicon()  # read once, whoever is measured first
    ways = {
        "known identifiers and rules": lambda case: find_spans(case.text, case.known, Clock(case.written))
    }
    if asked.unknown:
        ways["rules alone"] = lambda case: find_spans(case.text, Known(), Clock(case.written))
    if asked.presidio:
        alone, unsure = classifier_of("presidio", everything=True), classifier_of("presidio")
        ways["Presidio alone"] = lambda case: alone(case.text)
        ways["known identifiers, rules, Presidio on what is left"] = lambda case: find_spans(
            case.text, case.known, Clock(case.written), Search(classifier=unsure)
        )
    for name, find in ways.items():
        measure(cases, find, name, misses=asked.misses and name == "known identifiers and rules")
    if asked.whole and asked.hospital:
        whole(*asked.hospital, asked.every)


if __name__ == "__main__":
    main()
