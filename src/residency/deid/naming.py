"""In: a note. Out: names of people that titles, signatures, relatives and lists of names give away."""

from functools import cache
from typing import Final

from residency.deid.lexicon import inverted, lexicon
from residency.deid.spans import Note, Span

_JOINS: Final = frozenset({" ", "  ", ". ", ".", "-", "'", "\u2019", " '", " (", ' "', '" '})
_SIGNS: Final = frozenset(["signed", "by", "name", "kin", "named", "surgeon", "attending"])
_MOST: Final = 4  # words of one name


@cache
def _triggers() -> dict[str, tuple[str, ...]]:
    """Say of each word that may be part of a name, or stand beside one, what is to be looked at."""
    known = lexicon()
    lists = known.lists
    groups = {
        "_after_title": lists["titles"],
        "_before_credential": lists["credentials"] | {"m", "d", "r", "p"},
        "_after_label": lists["name_labels"] | lists["name_leads"] | lists["relatives"],
        "_by_list": known.given | known.family,
    }
    return inverted(groups)


class Names:
    """Finds the names in one note."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.known = lexicon()
        self.found: list[tuple[int, int]] = []  # first word, last word
        self.lists = self.known.lists

    def spans(self) -> list[Span]:
        """Find every name."""
        triggers = _triggers()
        for at, word in enumerate(self.note.words):
            if word in triggers:
                for what in triggers[word]:
                    getattr(self, what)(at)
        names = self._joined()
        names += self._again(names)
        places = [(self.note.starts[first], self.note.ends[last]) for first, last in names]
        return [Span(start, end, "NAME") for start, end in places]

    def _again(self, names: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Take every other mention of a name that was found: Nakamura, after Dr. Kenji Nakamura."""
        lists = (self.known.words, self.lists["eponyms"], self.lists["not_names"])
        words = {self.note.words[i] for a, b in names for i in range(a, b + 1)}
        words = {word for word in words if len(word) > 3 and not any(word in plain for plain in lists)}
        if not words:
            return []
        taken = {i for a, b in names for i in range(a, b + 1)}
        found = [i for i, word in enumerate(self.note.words) if word in words and i not in taken]
        return [(i, i) for i in found if self.note.capital(i)]

    def _joined(self) -> list[tuple[int, int]]:
        """Give the finds, those that overlap or touch as one."""
        joined: list[tuple[int, int]] = []
        for first, last in sorted(self.found):
            if (
                joined
                and first <= joined[-1][1] + 1
                and (first <= joined[-1][1] or self.note.gap(joined[-1][1]) in _JOINS)
            ):
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        return joined

    def _is_listed(self, at: int) -> bool:
        word = self.note.words[at]
        return word in self.known.given or word in self.known.family

    def _is_sure(self, at: int) -> bool:
        """Tell a word that is a name and nothing else."""
        word = self.note.words[at]
        is_short = len(word) < 3 or (len(word) == 3 and self.note.spelled(at).isupper())
        sure = self._is_listed(at) and word not in self.known.doubtful and word not in self.lists["not_names"]
        return sure and not is_short

    def _could_be(self, at: int) -> bool:
        """Tell a capitalised word that may be a name: listed, or in no dictionary."""
        note = self.note
        if not 0 <= at < len(note) or not note.words[at].isalpha():
            return False
        word = note.words[at]
        barred = word in self.lists["not_names"] or word in self.lists["credentials"]
        if not note.capital(at) or (barred and not self._is_month_name(at)):
            return False
        if len(word) == 1:
            return True
        if note.shouted(at) or (note.spelled(at).isupper() and len(word) < 5):
            return self._is_listed(at) and word not in self.known.words
        return self._is_listed(at) or word not in self.known.words

    def _is_month_name(self, at: int) -> bool:
        """Tell April Johnson, April O'Brien and April de la Cruz from April 2019."""
        note = self.note
        named = note.words[at] in self.known.given and note.words[at] in self.lists["months"]
        if not named or at + 1 >= len(note) or note.gap(at) != " " or note.shouted(at):
            return False
        first = last = at + 1 + self._particles(at + 1)
        if last >= len(note):
            return False
        if len(note.words[last]) == 1 and last + 1 < len(note) and note.gap(last) in ("'", "\u2019"):
            last += 1
        listed = {note.words[first] + note.words[last], note.words[last]} & self.known.family
        return bool(listed) and note.capital(first) and note.capital(last)

    def _run(self, first: int, *, strict: bool = False) -> int:
        """Give the last word of the name that begins with a word."""
        last = first
        while last + 1 < len(self.note) and last - first + 1 < _MOST:
            gap = self.note.gap(last)
            if gap not in _JOINS or (
                gap == ". " and len(self.note.words[last]) > 1 and self.note.words[last] not in ("st", "jr")
            ):
                break
            n = self._particles(last + 1)
            if n and self._could_be(last + 1 + n):
                last += 1 + n
            elif self._continues(last + 1, strict=strict):
                last += 1
            else:
                break
        return last

    def _particles(self, at: int) -> int:
        """Count the particles that stand here: two in `de la Cruz`."""
        n = 0
        while at + n < len(self.note) and n < _MOST and self.note.words[at + n] in self.lists["particles"]:
            n += 1
        return n

    def _continues(self, at: int, *, strict: bool) -> bool:
        note = self.note
        word = note.words[at]
        if word in self.lists["suffixes"] and note.capital(at):
            return True
        if word == "s" and note.gap(at - 1) in ("'", "\u2019"):
            return False
        if strict and len(word) > 1 and not self._is_listed(at):
            return False
        hyphen = note.gap(at - 1) in ("-", "'", "\u2019") and note.words[at - 1] in self.lists["eponyms"]
        if hyphen and (self._thing_follows(at) or not self._is_listed(at)):
            return False
        doubtful = word in self.known.doubtful or word in self.lists["eponyms"]
        if doubtful and self._thing_follows(at):
            return False
        common = word in self.known.family and word in self.known.common
        return self._could_be(at) or (common and note.capital(at) and not note.shouted(at))

    def _thing_follows(self, at: int) -> bool:
        follows = at + 1
        if follows < len(self.note) and self.note.words[follows] == "s":
            follows += 1
        return follows < len(self.note) and self.note.words[follows] in self.lists["eponym_nouns"]

    def _after_title(self, at: int) -> None:
        """Take what follows Dr., Mrs., Professor."""
        note, word = self.note, self.note.words[at]
        gap = note.gap(at)
        if gap not in (" ", ". ", ".", "  ", ".  ", ", ") or (word == "ms" and note.spelled(at) == "MS"):
            return
        first = at + 1
        weak = word in self.lists["weak_titles"]
        is_dot = gap.startswith(".")
        if note.words[first] in self.lists["titles"] and first + 1 < len(note):
            return
        if note.words[first] in self.lists["particles"] and self._could_be(first + 1):
            self.found.append((first, self._run(first + 1)))
        elif note.capital(first) and note.words[first].isalpha() and (not weak or self._could_be(first)):
            if note.words[first] in self.lists["not_names"] and not self._is_listed(first):
                return
            self.found.append((first, self._run(first)))
        elif not weak and (is_dot or word in ("dr", "mr", "mrs")) and note.words[first].isalpha():
            is_name = self._is_listed(first) or note.words[first] not in self.known.words
            self.found += [(first, first)] if is_name else []

    def _before_credential(self, at: int) -> None:
        """Take what stands before MD, M.D., RN."""
        note, word = self.note, self.note.words[at]
        if not note.capital(at):
            return
        is_spaced = len(word) == 1 and note.text[note.ends[at] : note.ends[at] + 3] in (
            ".D.",
            ".N.",
            ".A.",
            ".O.",
            ".P.",
        )
        if not is_spaced and (
            len(word) == 1 or not (note.spelled(at).isupper() or word in ("phd", "psyd", "pharmd"))
        ):
            return
        gap = note.gap(at - 1)
        comma = gap.strip() in (",", ".,") and "\n" not in gap
        if at == 0 or not (comma or (gap in (" ", "  ") and word not in self.lists["weak_credentials"])):
            return
        first = at
        while first > 0 and at - first < _MOST and self._could_be(first - 1):
            if first < at and self.note.gap(first - 1) not in _JOINS:
                break
            first -= 1
        if first < at and not all(len(note.words[i]) == 1 for i in range(first, at)):
            self.found.append((first, at - 1))

    def _after_label(self, at: int) -> None:
        """Take what follows `Attending:`, `signed by`, `daughter`."""
        note, word = self.note, self.note.words[at]
        gap = note.gap(at)
        first = at + 1
        if first >= len(note) or note.words[first] in self.lists["titles"]:
            return
        if ":" in gap and gap.count("\n") == 0 and word in self.lists["name_labels"]:
            if self._could_be(first) or (note.shouted(first) and self._is_listed(first)):
                last = self._run(first)
                if note.gap(last).startswith(", ") and self._could_be(last + 1):
                    last = self._run(last + 1)
                if last > first or self._is_listed(first) or word in ("name", "by", "kin"):
                    self.found.append((first, last))
        elif gap in (" ", ", ", " (", ": ") and (
            word in self.lists["relatives"] or word in self.lists["name_leads"]
        ):
            self._after_lead(first, is_relative=word in self.lists["relatives"], is_sign=word in _SIGNS)

    def _after_lead(self, first: int, *, is_relative: bool, is_sign: bool) -> None:
        note = self.note
        if not self._could_be(first) or len(note.words[first]) == 1:
            return
        last = self._run(first)
        sure = any(self._is_sure(i) for i in range(first, last + 1))
        initial = last > first and len(note.words[last]) == 1
        if self._thing_follows(last):
            return
        listed = self._is_listed(first)
        whole = sure and (is_relative or last > first or listed)
        signed = is_sign and last > first and not note.shouted(first)
        if whole or signed or (initial and listed) or (is_relative and listed and not note.shouted(first)):
            self.found.append((first, last))

    def _by_list(self, at: int) -> None:
        """Take a name that the lists know: with a family name or an initial, or alone where it is sure."""
        note, word = self.note, self.note.words[at]
        if not note.capital(at) or (word in self.lists["not_names"] and not self._is_month_name(at)):
            return
        if word in self.known.family and note.gap(at).startswith(",") and self._inverted(at):
            return
        if word in self.known.given:
            last = self._run(at, strict=note.shouted(at))
            full = last > at and self._is_full(at, last)
            if full or (self._is_sure(at) and not note.shouted(at) and not self._is_eponym(at, last)):
                self.found.append((at, last))
        elif self._is_sure(at) and word in self.known.common and not self._is_eponym(at, at):
            is_loud = note.shouted(at) or note.spelled(at).isupper()
            self.found += [] if is_loud else [(at, self._run(at, strict=True))]

    def _is_full(self, first: int, last: int) -> bool:
        """Tell whether words make a whole name: one is surely a name, or two are listed."""
        note = self.note
        listed = [i for i in range(first, last + 1) if self._is_listed(i)]
        sure = [i for i in listed if self._is_sure(i)]
        initial = len(note.words[last]) == 1
        if self._thing_follows(last) and note.words[last] in self.lists["eponyms"]:
            return False
        if sure:
            return True
        return (
            len(listed) > 1 or (initial and note.text[note.ends[last] : note.ends[last] + 1] == ".")
        ) and not note.shouted(first)

    def _is_eponym(self, first: int, last: int) -> bool:
        words = self.note.words[first : last + 1]
        return any(word in self.lists["eponyms"] for word in words) and (
            self._thing_follows(last) or len(words) == 1
        )

    def _inverted(self, at: int) -> bool:
        """Take `Smith, John A.`, and tell whether it was one."""
        note = self.note
        gap = note.gap(at)
        if gap not in (", ", ",") or (len(note.words[at + 1]) == 2 and note.spelled(at + 1).isupper()):
            return False
        is_given = note.words[at + 1] in self.known.given and note.capital(at + 1)
        sure = self._is_sure(at) or self._is_sure(at + 1)
        if not (is_given and sure) or note.words[at + 1] in self.lists["not_names"]:
            return False
        self.found += [(at, at), (at + 1, self._run(at + 1))]
        return True
