"""In: a note. Out: streets, towns, hospitals and other institutions in it."""

import re
from functools import cache
from typing import Final

from residency.deid.lexicon import inverted, lexicon
from residency.deid.spans import Kind, Note, Span

_MOST: Final = 6  # words of one institution's name
_LINKS: Final = frozenset(["of", "and", "the", "for"])
_JOINS: Final = frozenset({" ", "  ", ". ", "-", "'", "\u2019", " & ", ".", "\u2019s ", "'s "})
_NOT_FIRST: Final = _LINKS | {"s", "our", "her", "his", "dr", "mr", "the", "admitted", "seen"}
_SURE_STREETS: Final = frozenset(["street", "avenue", "road", "lane", "boulevard", "drive", "parkway"])
_TAILS: Final = frozenset(
    [
        "health",
        "medical",
        "general",
        "presbyterian",
        "methodist",
        "memorial",
        "regional",
        "hosp",
        "med",
        "center",
        "centre",
    ]
)
_WITHIN: Final = (" ", ". ", "  ", "-", "'", "\u2019")
_PO_BOX: Final = re.compile(r"\bp\.?\s?o\.?\s?box\s?#?\s?\d+")


@cache
def _triggers() -> dict[str, tuple[str, ...]]:
    """Say of each word that may be part of a place what is to be looked at."""
    known = lexicon()
    ends = known.lists["facilities"] | known.lists["organisations"] | _TAILS
    groups = {
        "_street": known.lists["streets"],
        "_ends": ends,
        "_before": known.lists["facilities_before"],
        "_second": frozenset(pair.split("_")[1] for pair in known.lists["facility_pairs"]) - ends,
        "_town": known.cities.keys(),
        "_listed": known.places.keys(),
        "_after_at": frozenset({"at", "to", "from", "in"}),
        "_saint": frozenset({"st", "saint", "mt", "mount"}),
    }
    return inverted(groups)


@cache
def _banned() -> frozenset[str]:
    """Give the words that are in no place's name."""
    names = ("not_names", "months", "weekdays", "titles", "generic")
    return frozenset().union(*(lexicon().lists[name] for name in names))


class Whereabouts:
    """Finds the places in one note."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.known = lexicon()
        self.lists = self.known.lists
        self.found: list[Span] = []

    def spans(self) -> list[Span]:
        """Find every place."""
        triggers = _triggers()
        for at, word in enumerate(self.note.words):
            if word in triggers:
                for what in triggers[word]:
                    getattr(self, what)(at)
        for hit in _PO_BOX.finditer(self.note.folded) if "box" in self.note.folded else ():
            self.found.append(Span(hit.start(), hit.end(), "ADDRESS"))
        return self.found

    def _ends(self, at: int) -> None:
        """Look before a word that ends an institution's name."""
        word = self.note.words[at]
        if at and f"{self.note.words[at - 1]}_{word}" in self.lists["facility_pairs"]:
            self._institution(at - 1, at)
        elif word not in _TAILS or (at and self.note.capital(at)):
            self._institution(at, at)

    def _before(self, at: int) -> None:
        """Take `Klinikum Südhafen`, and `Hôpital Saint-Louis`."""
        note, last = self.note, at
        while last + 1 < len(note) and note.gap(last) in _JOINS and note.capital(last + 1) and last - at < 4:
            last += 1
        if last > at and note.capital(at):
            self._take(at, last, "ORGANISATION")

    def _second(self, at: int) -> None:
        """Look before two words that end an institution's name together."""
        if at and f"{self.note.words[at - 1]}_{self.note.words[at]}" in self.lists["facility_pairs"]:
            self._institution(at - 1, at)

    def _town(self, at: int) -> None:
        self._phrase(at, self.known.cities[self.note.words[at]], "CITY")

    def _listed(self, at: int) -> None:
        self._phrase(at, self.known.places[self.note.words[at]], "ORGANISATION")

    def _take(self, first: int, last: int, kind: Kind) -> None:
        self.found.append(Span(self.note.starts[first], self.note.ends[last], kind))

    def _street(self, at: int) -> None:
        """Take `12 Larkspur Lane, Apt 4B`."""
        note = self.note
        first = at - 1
        while first >= 0 and at - first <= 5 and not note.words[first].isdigit():
            if note.gap(first) not in _WITHIN or not note.words[first].isalpha():
                return
            if not note.capital(first):
                return
            first -= 1
        if (
            first < 0
            or at - first > 5
            or first == at - 1
            or not note.words[first].isdigit()
            or not note.capital(at)
        ):
            self._numbered_street(at)
            return
        if note.gap(first) not in (" ", "  ") or len(note.words[first]) > 6:
            return
        last = at
        if at + 2 < len(note) and note.words[at + 1] in self.lists["unit_words"] and "\n" not in note.gap(at):
            last = at + 2
        self._take(first, last, "ADDRESS")
        self._town_after(last)

    def _numbered_street(self, at: int) -> None:
        """Take `9 43rd Street`, and a street without a number: `on Larkspur Lane`."""
        note = self.note
        if at < 2 or not note.capital(at) or note.gap(at - 1) not in (" ", "  "):
            return
        if note.words[at - 1] in ("th", "st", "nd", "rd") and note.words[at - 2].isdigit():
            first = at - 3 if at >= 3 and note.words[at - 3].isdigit() and note.gap(at - 3) == " " else at - 2
            self._take(first, at, "ADDRESS")
        elif note.words[at] in _SURE_STREETS and note.capital(at - 1) and note.words[at - 1].isalpha():
            is_plain = note.words[at - 1] in self.lists["generic"] or note.shouted(at)
            self.found += [] if is_plain else [Span(note.starts[at - 1], note.ends[at], "ADDRESS")]

    def _town_after(self, at: int) -> None:
        """Take the town that stands behind a street."""
        note = self.note
        first = last = at + 1
        gap = note.gap(at)
        if gap not in (", ", ". ", ",", "\n", ",\n", ".\n") and not gap.startswith(", "):
            return
        while (
            last + 1 < len(note)
            and note.gap(last) == " "
            and note.capital(last + 1)
            and last - first < 2
            and len(note.words[last + 1]) > 2
        ):
            last += 1
        if (
            first < len(note)
            and note.capital(first)
            and note.gap(last).startswith((", ", " ", ","))
            and note.words[first].isalpha()
        ):
            state = note.spelled(last + 1) if last + 1 < len(note) else ""
            if len(state) == 2 and state.isupper():
                self._take(first, last, "CITY")

    def _institution(self, first: int, last: int) -> None:
        """Take the capitalised words before `Hospital`, `Medical Center`, `University`."""
        note = self.note
        start = self._leftmost(first)
        of_place = note.words[last + 1 : last + 2] == ["of"] and note.capital(last + 2)
        dull = (self.lists["generic"], self.lists["not_names"])
        telling = [
            i
            for i in range(start, first)
            if len(note.words[i]) > 1 and not any(note.words[i] in words for words in dull)
        ]
        if not self._tells(start, last, telling) and not (of_place and note.capital(first)):
            return
        end = last
        if of_place:
            end = last + 2
            while end + 1 < len(note) and note.gap(end) == " " and note.capital(end + 1) and end - last < 4:
                end += 1
        self._take(start, end if note.capital(last) or of_place else first - 1, "ORGANISATION")

    def _leftmost(self, first: int) -> int:
        """Give the first word of the name that ends before a word."""
        note, start = self.note, first
        while start > 0 and first - start < _MOST and note.gap(start - 1) in _JOINS:
            before = note.words[start - 1]
            links = before in _LINKS and 1 < start < first and note.gap(start - 2) == " "
            if note.gap(start - 1) == ". " and before not in ("st", "mt", "ft"):
                break
            if not (note.capital(start - 1) or before == "s" or (links and note.capital(start - 2))):
                break
            start -= 1
        while start < first and note.words[start] in _NOT_FIRST:
            start += 1
        return start

    def _tells(self, start: int, last: int, telling: list[int]) -> bool:
        """Tell whether the words before say which house it is."""
        note = self.note
        if note.words[last] in _TAILS and not self._ends_a_name(start, last, telling):
            return False
        loud = note.shouted(last) and all(note.words[i] in self.known.words for i in telling)
        return bool(telling) and not loud

    def _ends_a_name(self, start: int, last: int, telling: list[int]) -> bool:
        """Tell `Harborview Medical` from `Past Medical History`."""
        note = self.note
        if last + 1 < len(note) and note.capital(last + 1) and note.gap(last) == " ":
            return f"{note.words[last]}_{note.words[last + 1]}" in self.lists["facility_pairs"]
        named = [note.words[i] for i in telling if note.words[i] not in self.known.words]
        town = any(note.words[i] in self.known.cities for i in telling)
        lead = note.words[start - 1] if start else ""
        return bool(named or town or lead in ("at", "from", "to")) and not note.shouted(last)

    def _phrase(self, at: int, phrases: tuple[tuple[str, ...], ...], kind: Kind) -> None:
        """Take a town or an institution of a list."""
        note = self.note
        if not note.capital(at):
            return
        for phrase in phrases:
            last = at + len(phrase) - 1
            if not self._reads(at, phrase):
                continue
            if len(phrase) > 1 or self._is_place(at, kind):
                self._take(at, last, kind)
                return

    def _reads(self, at: int, phrase: tuple[str, ...]) -> bool:
        """Tell whether the words from here on are a phrase, in one line."""
        gaps = [self.note.gap(i) for i in range(at, at + len(phrase) - 1)]
        same = tuple(self.note.words[at : at + len(phrase)]) == phrase
        return same and all(len(gap) <= 2 and "\n" not in gap for gap in gaps)

    def _is_place(self, at: int, kind: Kind) -> bool:
        """Tell a town from the word or name that is spelled like it."""
        note, word = self.note, self.note.words[at]
        lead = note.words[at - 1] if at and note.gap(at - 1) in (" ", "  ", ": ") else ""
        state = note.spelled(at + 1) if note.gap(at) == ", " else ""
        is_owner = note.words[at + 1 : at + 2] == ["s"] and note.gap(at) in ("'", "\u2019")
        if is_owner or (at + 1 < len(note) and note.words[at + 1] in self.lists["eponym_nouns"]):
            return False
        before = note.words[at - 1] if at else ""
        behind = before in self.lists["facilities"] or before in self.lists["streets"] or before in _TAILS
        if (len(state) == 2 and state.isupper()) or lead in self.lists["place_leads"] or behind:
            return True
        weak = word in self.lists["weak_cities"] or word in self.known.words
        if kind == "ORGANISATION":
            return not (word in self.known.words or word in self.known.family or word in self.known.given)
        return (
            not weak
            and not note.shouted(at)
            and word not in self.known.family
            and word not in self.known.given
        )

    def _after_at(self, at: int) -> None:
        """Take what follows `at`, `from`, `in` with capitals and is in no dictionary: `at Cedar Crest`."""
        note = self.note
        first = at + 1
        if not note.capital(first) or note.gap(at) != " " or note.shouted(first):
            return
        last = first
        while (
            last + 1 < len(note)
            and note.gap(last) in (" ", "-", ". ")
            and note.capital(last + 1)
            and last - first < 3
        ):
            if note.gap(last) == ". " and note.words[last] not in ("st", "mt", "ft"):
                break
            last += 1
        words = note.words[first : last + 1]
        if any(
            word in _banned() or word.isdigit() or len(word) == 1
            for word in words
            if word not in ("st", "mt")
        ):
            return
        unknown = [word for word in words if word not in self.known.words]
        if any(word in self.lists["eponyms"] for word in words) or (
            last + 1 < len(note) and note.words[last + 1] in self.lists["eponym_nouns"]
        ):
            return
        acronym = all(note.spelled(i).isupper() for i in range(first, last + 1))
        if note.words[at] == "at" and (len(words) > 1 or (unknown and not acronym)):
            self._take(first, last, "ORGANISATION")
        elif note.words[at] in ("from", "in") and unknown and not acronym and self._lives(at):
            self._take(first, last, "CITY")

    def _lives(self, at: int) -> bool:
        """Tell whether the words before speak of living somewhere."""
        before = set(self.note.words[max(0, at - 4) : at])
        return bool(
            before
            & {
                "lives",
                "living",
                "lived",
                "resides",
                "residing",
                "born",
                "moved",
                "resident",
                "grew",
                "home",
                "live",
                "visiting",
                "clinic",
                "office",
                "practice",
            }
        )

    def _saint(self, at: int) -> None:
        """Take `St. Vincent's`."""
        note = self.note
        if (
            at + 1 >= len(note)
            or not note.capital(at)
            or note.gap(at) not in (". ", " ", ".")
            or not note.capital(at + 1)
        ):
            return
        if (at and note.words[at - 1].isdigit() and note.words[at] in ("st",)) or note.spelled(at) == "ST":
            return
        word = note.words[at + 1]
        if word in self.known.given or word in self.known.family or word not in self.known.words:
            last = at + 1
            if last + 1 < len(note) and note.words[last + 1] == "s" and note.gap(last) in ("'", "\u2019"):
                last += 1
            self._take(at, last, "ORGANISATION")
