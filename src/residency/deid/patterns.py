"""In: a note. Out: numbers, addresses of the net, ages above the bound: what a pattern alone can find."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from residency.deid.lexicon import lexicon
from residency.deid.places import STATES
from residency.deid.spans import Kind, Note, Span

_EMAIL: Final = re.compile(r"[\w.+-]{1,64}\s?@\s?[\w-]+(?:\.[\w-]+)+")
_URL: Final = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"')\]]+[^\s<>\"')\].,;:]")
_SITE: Final = re.compile(r"\b(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|health|info|io)\b(?:/[^\s,;)]*)?", re.I)
_GROUPS: Final = re.compile(r"[\dxX*]{2}[-. ]\d{4}")
_ENDING: Final = re.compile(r"\.(?:com|org|net|edu|gov|health|info|io)\b")
_COLONS: Final = re.compile(r":[0-9a-f]{0,4}:[0-9a-f]{0,4}:")  # no more than a time has is no address
_PAIRS: Final = re.compile(r"[:-][0-9a-f]{2}[:-][0-9a-f]{2}[:-]")
_DOTS: Final = re.compile(r"\.\d{1,3}\.\d")
_ZERO: Final = re.compile(r"0\d{1,5}\)?[ /-]\d{3}")
_HANDLE: Final = re.compile(r"(?<![\w.@])@[A-Za-z]\w{2,}")
_IP: Final = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)")
_IP6: Final = re.compile(
    r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}(?::?[0-9a-f]{1,4})+(?![\w:])|(?:[0-9a-f]{1,4}:){2,}:[0-9a-f:]*", re.I
)
_MAC: Final = re.compile(r"(?<!\w)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?!\w)", re.I)
_SSN: Final = re.compile(r"(?<![\w-])(?:\d{3}|[xX*]{3})[- ](?:\d{2}|[xX*]{2})[- ]\d{4}(?![\d-])")
_PHONE: Final = re.compile(
    r"(?<![\w.])(?:\+?1[-. ]?)?(?:\(\d{3}\)\s?|\d{3}[-. /]\s?)\d{3}[-. ]\d{4}"
    r"(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?(?!\d)",
    re.I,
)
_ABROAD: Final = re.compile(r"\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?!\d)")
_LOCAL: Final = re.compile(r"\d{3}-\d{4}(?![\d-])")
_TRUNK: Final = re.compile(r"(?<![\w.,/-])\(?0\d{1,5}\)?[ /-]\d{3,8}(?:[ -]\d{2,6})*(?![\d,.]\d|\w)")
_DOSE: Final = re.compile(
    r"(?i:a?nda|bla|rs|nct|chembl|grch|hg)\d+|\d+(?:IU|iu|mg|mcg|ml|mL|MG|ML|kcal|cc|units?|bpm|hrs?)"
)
_ZIP: Final = re.compile(r"\b([A-Z]{2})\.?,?\s+(\d{5}(?:-\d{4})?)(?![\d-])")
_ZIP_WORD: Final = re.compile(r"\bzip(?: ?code)?\s?[:#]?\s*(\d{5}(?:-\d{4})?)(?!\d)")
_LONG: Final = re.compile(r"\d{7,}(?!\.\d)|\d{2,4}(?:-\d{2,6}){1,4}|[A-Z]{1,6}-?\d{4,}(?:-\d+)*\b")
_LETTERS: Final = re.compile(r"[A-Z]{1,6}-?$")
_MIXED: Final = re.compile(r"[A-Za-z\d]{2,}(?:-[A-Za-z\d]{2,})*(?![\w%/])")
_TAIL: Final = re.compile(r"[A-Za-z\d-]{1,24}$")
_LABELLED: Final = re.compile(
    r"[\s.]*(?:(?:number|numbers|no|num|nbr|id|ids|code|record|plate|serial|card|account|plan|policy|member"
    r"|identification|is|was|ending in|of)[\s.]*)*[:#=\-\s]{0,4}(?:is |was |of )?[\s(\[\"'#]{0,2}"
    r"((?:[a-z]{1,8}[-/ ]?){0,2}\d[a-z\d]*(?:[-/._][a-z\d]+| \d[\d-]{1,})*)"
)
_AGE: Final = re.compile(
    r"(?:9\d|1[0-2]\d)(?![\d.%/])(?=[\s-]?(?:year|yr|y/?o\b|y\.o|yo[fm]?\b|y\b|f\b|m\b))"
)
_AGED: Final = re.compile(r"age(?:[ds]|d about)?\s?(?:is|of|:|at)?\s?(9\d|1[0-2]\d)(?![\d.%/])")
_AGE_WORD: Final = re.compile(
    r"\b(ninety(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?|one hundred(?: and)?(?: \w+)?)"
    r"(?=[\s-]years?[\s-])|\b(centenarian)\b"
)
_CODES: Final = frozenset(
    [
        "icd",
        "icd9",
        "icd10",
        "loinc",
        "snomed",
        "rxnorm",
        "ndc",
        "cpt",
        "hcpcs",
        "atc",
        "cvx",
        "drg",
        "pmid",
        "doi",
        "nct",
        "grant",
        "chapter",
    ]
)
_PHONE_WORDS: Final = frozenset(
    [
        "phone",
        "tel",
        "telephone",
        "call",
        "cell",
        "mobile",
        "fax",
        "pager",
        "home",
        "work",
        "contact",
        "number",
        "ext",
        "at",
    ]
)


def find_patterns(note: Note, max_age: int) -> list[Span]:
    """Find what a pattern alone can find.

    Args:
        note: the text, cut into words.
        max_age: the highest age that may show.
    """
    found = [*_net(note), *_phones(note), *_zips(note), *_labelled(note), *_unlabelled(note)]
    return [*found, *_ages(note, max_age)]


def _net(note: Note) -> list[Span]:
    """Find e-mail addresses, web addresses, addresses of machines."""
    text = note.text
    found: list[Span] = []
    signs = [one.start() for one in re.finditer("@", text)]
    found += _each(_EMAIL, text, "EMAIL", [(at - 65, at + 256) for at in signs])
    found += [Span(*hit.span(), "URL") for at in signs if (hit := _HANDLE.match(text, at))]
    if "://" in text or "www." in note.folded:
        found += _each(_URL, text, "URL")
    if _ENDING.search(note.folded):
        found += _each(_SITE, text, "URL")
    if _PAIRS.search(note.folded):
        found += _each(_MAC, text, "ID")
    if _COLONS.search(note.folded):
        found += _each(_IP6, text, "IP")
    if _DOTS.search(text):
        found += _each(_IP, text, "IP")
    return found


def _phones(note: Note) -> list[Span]:
    """Find telephones, and social security numbers, which look like them; each looked for where it can be."""
    text = note.text
    near = [(hit.start() - 24, hit.end() + 32) for hit in _GROUPS.finditer(text)]
    found = [*_each(_SSN, text, "ID", near), *_each(_PHONE, text, "PHONE", near)]
    if near:
        found += _local_phones(note)
    if _ZERO.search(text):
        found += [one for one in _each(_TRUNK, text, "PHONE") if _digits(text, one) >= 8]
    if "+" in text:
        found += [one for one in _each(_ABROAD, text, "PHONE") if _digits(text, one) >= 8]
    return found


def _zips(note: Note) -> list[Span]:
    found: list[Span] = []
    if any(len(note.words[at]) == 5 for at in note.numbers):
        found += [Span(*hit.span(2), "ZIP") for hit in _ZIP.finditer(note.text) if hit.group(1) in STATES]
    if "zip" in note.folded:
        found += [Span(*hit.span(1), "ZIP") for hit in _ZIP_WORD.finditer(note.folded)]
    return found


def _each(
    pattern: re.Pattern[str], text: str, kind: Kind, windows: Iterable[tuple[int, int]] | None = None
) -> Iterator[Span]:
    """Find a pattern, in the whole of a text or within some windows of it, which rise."""
    place = 0
    for start, end in ((0, len(text)),) if windows is None else windows:
        for hit in pattern.finditer(text, max(start, place), end):
            place = hit.end()
            yield Span(hit.start(), place, kind)


def _digits(text: str, span: Span) -> int:
    return sum(one.isdigit() for one in text[span.start : span.end])


def _stands_free(text: str, start: int) -> bool:
    """Tell whether a number begins here: nothing that would be part of it stands before."""
    before = text[start - 1 : start]
    return not (before.isalnum() or (before != "" and before in ".,/-_"))


def _local_phones(note: Note) -> Iterator[Span]:
    """Find 555-0134 after a word that speaks of telephones."""
    for hit in _LOCAL.finditer(note.text):
        before = re.findall(r"[a-z]+", note.folded[max(0, hit.start() - 24) : hit.start()])
        if _stands_free(note.text, hit.start()) and set(before[-3:]) & _PHONE_WORDS:
            yield Span(hit.start(), hit.end(), "PHONE")


def _labelled(note: Note) -> Iterator[Span]:
    """Find the number behind a word such as MRN, account, licence, serial."""
    known = lexicon().lists
    labels, weak = known["id_labels"], known["weak_id_labels"]
    for at, word in enumerate(note.words):
        if word not in labels or (word == "id" and note.spelled(at) == "id"):
            continue
        hit = _LABELLED.match(note.folded, note.ends[at])
        if hit is None:
            continue
        value = hit.group(1)
        n_digits = sum(one.isdigit() for one in value)
        marked = (
            ":" in hit.group()[: hit.start(1) - hit.start()]
            or "#" in hit.group()
            or len(hit.group()) > len(value) + 3
        )
        least = 5 if word in weak else 4 if not marked else 3
        if n_digits >= least or (n_digits >= 3 and any(one.isalpha() for one in value) and word not in weak):
            start, end = hit.start(1), hit.end(1)
            yield Span(start, end, "ID")


def _unlabelled(note: Note) -> Iterator[Span]:
    """Find long numbers, and words of letters and digits, that no measurement has."""
    text, place = note.text, 0
    for at in note.numbers:
        start, end = note.starts[at], note.ends[at]
        if start >= place and (end - start > 3 or text[end : end + 1] == "-"):
            hit = _long(text, start)
            place = hit.end() if hit else place
            if hit and _apart(text, hit) and not _is_code(note, hit.start()) and _looks_like_id(hit.group()):
                yield Span(hit.start(), hit.end(), "ID")
        if end - start > 2:
            yield from _mixed(note, start, end)


def _long(text: str, start: int) -> re.Match[str] | None:
    """Read a long number where digits begin, with the letters before it: MRN-00123."""
    before = _LETTERS.search(text, max(0, start - 7), start)
    return (before and _LONG.match(text, before.start())) or _LONG.match(text, start)


def _mixed(note: Note, start: int, end: int) -> Iterator[Span]:
    """Find a word of letters and digits around three digits or more: ST-998877, AB12X4567."""
    before, after = note.text[start - 1 : start], note.text[end : end + 1]
    if not (before.isalpha() or after.isalpha() or before == "-" or after == "-"):
        return
    tail = _TAIL.search(note.text, max(0, start - 24), start)
    hit = _MIXED.match(note.text, tail.start() if tail else start)
    if hit is None or hit.end() < end or _DOSE.fullmatch(hit.group()):
        return
    if note.text[hit.start() - 1 : hit.start()] in ("_", ".", "/", "-") and hit.start():
        return
    letters = sum(one.isalpha() for one in hit.group())
    digits = sum(one.isdigit() for one in hit.group())
    if digits >= 4 and letters and letters + digits >= 6 and not _is_code(note, hit.start()):
        yield Span(hit.start(), hit.end(), "ID")


def _apart(text: str, hit: re.Match[str]) -> bool:
    before, after = text[max(0, hit.start() - 2) : hit.start()], text[hit.end() : hit.end() + 2]
    joined = before[-1:].isalnum() or (before[-1:] in tuple("-./") and before[-1:] != "")
    return not joined and not (after[:1].isalnum() or re.match(r"[-/]\d", after))


def _looks_like_id(value: str) -> bool:
    digits = sum(one.isdigit() for one in value)
    runs = value.split("-")
    if any(one.isalpha() for one in value):
        return digits >= 4
    return digits >= 7 or (len(runs) >= 3 and digits >= 6)


def _is_code(note: Note, start: int) -> bool:
    """Tell whether a word before says that it is a code of a vocabulary."""
    before = re.findall(r"[a-z0-9]+", note.folded[max(0, start - 20) : start])
    return bool(set(before[-3:]) & _CODES)


def _ages(note: Note, max_age: int) -> Iterator[Span]:
    for hit in _AGE.finditer(note.folded):
        if int(hit.group()) > max_age and _stands_free(note.text, hit.start()):
            yield Span(hit.start(), hit.end(), "AGE")
    for hit in _AGED.finditer(note.folded) if "age" in note.folded else ():
        if int(hit.group(1)) > max_age:
            yield Span(hit.start(1), hit.end(1), "AGE")
    if "ninety" in note.folded or "hundred" in note.folded or "centen" in note.folded:
        for hit in _AGE_WORD.finditer(note.folded):
            group = 1 if hit.group(1) else 2
            yield Span(hit.start(group), hit.end(group), "AGE")
