"""In: a note. Out: streets, towns, hospitals and other institutions in it."""

import re
from typing import Final

from residency.deid.lexicon import lexicon
from residency.deid.spans import Kind, Note, Span

_MOST: Final = 6  # words of one institution's name
_LINKS: Final = frozenset(["of", "and", "the", "for"])
_JOINS: Final = frozenset({" ", "  ", ". ", "-", "'", "’", " & ", ".", "’s ", "'s "})
_PO_BOX: Final = re.compile(r"\bp\.?\s?o\.?\s?box\s?#?\s?\d+")


class Whereabouts:
    """Finds the places in one note."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.known = lexicon()
        self.lists = self.known.lists
        self.found: list[Span] = []

    def spans(self) -> list[Span]:
        """Find every place."""
        streets, facilities = self.lists["streets"], self.lists["facilities"]
        organisations, cities, places = self.lists["organisations"], self.known.cities, self.known.places
        pairs = self.lists["facility_pairs"]
        for at, word in enumerate(self.note.words):
            if word in streets:
                self._street(at)
            if word in facilities or word in organisations:
                self._institution(at, at)
            if at and f"{self.note.words[at - 1]}_{word}" in pairs:
                self._institution(at - 1, at)
            if word in cities:
                self._phrase(at, cities[word], "CITY")
            if word in places:
                self._phrase(at, places[word], "ORGANISATION")
            if word in ("at", "to", "from") or (word == "in" and self.note.capital(at + 1)):
                self._after_at(at)
            if word in ("st", "saint", "mt", "mount"):
                self._saint(at)
        for hit in _PO_BOX.finditer(self.note.folded) if "box" in self.note.folded else ():
            self.found.append(Span(hit.start(), hit.end(), "ADDRESS"))
        return self.found

    def _take(self, first: int, last: int, kind: Kind) -> None:
        self.found.append(Span(self.note.starts[first], self.note.ends[last], kind))

    def _street(self, at: int) -> None:
        """Take `12 Larkspur Lane, Apt 4B`."""
        note = self.note
        first = at - 1
        while first >= 0 and at - first <= 5 and not note.words[first].isdigit():
            if note.gap(first) not in (" ", ". ", "  ", "-", "'", "’") or not note.words[first].isalpha():
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
        elif (
            len(note.words[at]) > 3
            and note.words[at - 2] in ("on", "at", "from", "near", "of")
            and note.capital(at - 1)
        ):
            self._take(at - 1, at, "ADDRESS")

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
        note, generic = self.note, self.lists["generic"]
        start = first
        while start > 0 and first - start < _MOST and note.gap(start - 1) in _JOINS:
            before = note.words[start - 1]
            if note.gap(start - 1) == ". " and before not in ("st", "mt", "ft"):
                break
            if note.capital(start - 1) or before == "s" or (
                before in _LINKS
                and start - 1 > 0
                and note.capital(start - 2)
                and start < first
                and note.gap(start - 2) == " "
            ):
                start -= 1
            else:
                break
        while start < first and note.words[start] in (
            *_LINKS,
            "s",
            "our",
            "her",
            "his",
            "dr",
            "mr",
            "the",
            "admitted",
            "seen",
        ):
            start += 1
        of_place = note.words[last + 1 : last + 2] == ["of"] and note.capital(last + 2)
        telling = [
            i
            for i in range(start, first)
            if note.words[i] not in generic
            and note.words[i] not in self.lists["not_names"]
            and len(note.words[i]) > 1
        ]
        if not telling and not (of_place and note.capital(first)):
            return
        if note.shouted(first) and all(note.words[i] in self.known.words for i in telling):
            return
        end = last
        if of_place:
            end = last + 2
            while end + 1 < len(note) and note.gap(end) == " " and note.capital(end + 1) and end - last < 4:
                end += 1
        self._take(start, end if note.capital(last) or of_place else first - 1, "ORGANISATION")

    def _phrase(self, at: int, phrases: tuple[tuple[str, ...], ...], kind: Kind) -> None:
        """Take a town or an institution of a list."""
        note = self.note
        if not note.capital(at):
            return
        for phrase in phrases:
            last = at + len(phrase) - 1
            if tuple(note.words[at : last + 1]) == phrase and all(
                len(note.gap(i)) <= 2 and "\n" not in note.gap(i) for i in range(at, last)
            ):
                if len(phrase) > 1 or self._is_place(at, kind):
                    self._take(at, last, kind)
                    return

    def _is_place(self, at: int, kind: Kind) -> bool:
        """Tell a town from the word or name that is spelled like it."""
        note, word = self.note, self.note.words[at]
        lead = note.words[at - 1] if at and note.gap(at - 1) in (" ", "  ", ": ") else ""
        state = note.spelled(at + 1) if note.gap(at) == ", " else ""
        if at + 1 < len(note) and note.words[at + 1] in self.lists["eponym_nouns"]:
            return False
        if (len(state) == 2 and state.isupper()) or lead in self.lists["place_leads"]:
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
        if first >= len(note) or note.gap(at) != " " or not note.capital(first) or note.shouted(first):
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
        banned = (
            self.lists["not_names"]
            | self.lists["months"]
            | self.lists["weekdays"]
            | self.lists["titles"]
            | self.lists["generic"]
        )
        if any(
            word in banned or word.isdigit() or len(word) == 1 for word in words if word not in ("st", "mt")
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
            if last + 1 < len(note) and note.words[last + 1] == "s" and note.gap(last) in ("'", "’"):
                last += 1
            self._take(at, last, "ORGANISATION")
