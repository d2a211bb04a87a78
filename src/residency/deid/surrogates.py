"""In: what names somebody, and a patient's secret. Out: something of the same kind that names nobody.

The same mention gives the same surrogate wherever it stands in one patient's notes, and another in another's.
A name that was missed hides among those that were made up (Carrell et al. 2013, *hiding in plain sight*).
"""

import hmac
import re
from datetime import timedelta
from typing import Final

from residency.deid.day_forms import rewrite
from residency.deid.handling import NotesRules
from residency.deid.known import Known
from residency.deid.lexicon import fold, lexicon, surrogate_names
from residency.deid.places import SMALL_ZIP3
from residency.deid.spans import Span

_WORD: Final = re.compile(r"[^\W\d_]+")
_TOWNS: Final = [
    "Ashford",
    "Brookfield",
    "Clearfield",
    "Easton",
    "Fairview",
    "Glenwood",
    "Hillcrest",
    "Kingsley",
    "Lakemont",
    "Milford",
    "Northfield",
    "Oakdale",
    "Pinehurst",
    "Ridgeway",
    "Stonebridge",
    "Thornton",
    "Westbury",
    "Willowdale",
]
_KEPT: Final = frozenset(["and", "of", "the", "for", "at"])


class Surrogates:
    """What stands in the place of one patient's identifiers.

    Args:
        secret: of this patient alone, from the key.
        known: who the patient is.
        rules: what may stay of dates.
        shift: how far the patient's dates move.
        birth_shift: how far the birth moves beyond that.
    """

    def __init__(
        self, secret: bytes, known: Known, rules: NotesRules, shift: timedelta, birth_shift: timedelta
    ) -> None:
        self.secret, self.known, self.rules = secret, known, rules
        self.days = round(shift / timedelta(days=1))
        self.birth_days = round(birth_shift / timedelta(days=1))
        self.names: dict[str, str] = {}

    def of(self, text: str, span: Span) -> str:
        """Give what stands in the place of a span of a text."""
        shown = text[span.start : span.end]
        if span.kind == "NAME":
            return _WORD.sub(lambda hit: self._name(hit.group()), shown)
        if span.kind == "DATE":
            return self._date(text, span)
        if span.kind in ("ORGANISATION", "ADDRESS"):
            return self._place(shown, span)
        if span.kind == "ZIP":
            return _zip(shown)
        fixed = {"AGE": "90", "HOLIDAY": "a holiday"}
        if span.kind in fixed:
            return fixed[span.kind]
        if span.kind == "CITY":
            return self._town(shown)
        return self._net(shown, span.kind) or self._digits(shown)

    def _draw(self, purpose: str, what: str) -> int:
        return int.from_bytes(hmac.digest(self.secret, f"{purpose}\x1f{what}".encode(), "sha256")[:8], "big")

    def _name(self, word: str) -> str:
        folded = fold(word)
        if len(folded) == 1:
            return _cased(word, self._initial(folded))
        if folded in lexicon().lists["particles"] or folded in lexicon().lists["suffixes"]:
            return word
        if folded not in self.names:
            self.names[folded] = self._new_name(folded)
        return _cased(word, self.names[folded])

    def _new_name(self, folded: str) -> str:
        known = lexicon()
        first = any(len(name) > 1 and name[0] == folded for name in self.known.names)
        last = any(len(name) > 1 and name[-1] == folded for name in self.known.names)
        is_given = (folded in known.given and not last) or first
        kind = ("m" if folded in known.male - known.female else "f") if is_given else "s"
        pool = surrogate_names(kind)
        for turn in range(20):
            new = pool[self._draw(f"name{turn}", folded) % len(pool)]
            if new not in self.known.name_words and new != folded:
                return new
        return pool[0]

    def _initial(self, letter: str) -> str:
        """Give the initial of the surrogate of the patient's name with this initial; else a letter drawn."""
        mine = sorted(word for word in self.known.name_words if word[0] == letter)
        if mine:
            return self._name(mine[0])[0].lower()
        return "abcdefghjklmnoprstw"[self._draw("initial", letter) % 19]

    def _date(self, text: str, span: Span) -> str:
        if self.rules.dates == "year":
            return str(span.day.year) if span.day is not None else "[date]"
        if not span.parts:
            shown = text[span.start : span.end]
            is_year = len(shown) == 4 and shown.isdigit()
            return str(int(shown) + round(self.days / 365.25)) if is_year else "[date]"
        moves = self.birth_days if span.day is not None and span.day == self.known.born else 0
        return rewrite(text, span, self.days + moves)

    def _place(self, shown: str, span: Span) -> str:
        """Keep the words that say what kind of place it is; put others for the rest."""
        lists = lexicon().lists
        names = (
            ("streets", "unit_words")
            if span.kind == "ADDRESS"
            else ("facilities", "organisations", "generic")
        )

        def word(hit: re.Match[str]) -> str:
            folded = fold(hit.group())
            is_kind = any(folded in lists[name] for name in names) and hit.group()[0].isupper()
            if is_kind or folded in _KEPT or folded in ("st", "s"):
                return hit.group()
            return _cased(hit.group(), self._new_place(folded))

        return re.sub(r"\d+", lambda hit: self._digits(hit.group()), _WORD.sub(word, shown))

    def _new_place(self, folded: str) -> str:
        pool = surrogate_names("s")
        return pool[self._draw("place", folded) % len(pool)]

    def _town(self, shown: str) -> str:
        return _cased(shown, _TOWNS[self._draw("town", fold(shown)) % len(_TOWNS)].lower())

    def _net(self, shown: str, kind: str) -> str:
        number = self._draw(kind, fold(shown)) % 10_000
        made = {
            "EMAIL": f"user{number}@example.org",
            "URL": f"www.example.org/{number}",
            "IP": f"192.0.2.{number % 254 + 1}",
        }
        return made.get(kind, "")

    def _digits(self, shown: str) -> str:
        """Draw other letters and digits in the form that is there."""
        bare = "".join(one for one in fold(shown) if one.isalnum())
        stream = hmac.digest(self.secret, f"digits\x1f{bare}".encode(), "sha512") * (len(shown) // 64 + 1)
        return "".join(_other(one, drawn) for one, drawn in zip(shown, stream, strict=False))


def _other(one: str, drawn: int) -> str:
    if one.isdigit():
        return str(drawn % 10)
    if one.isalpha() and one.isascii():
        letter = "abcdefghjkmnpqrstuvwxyz"[drawn % 23]
        return letter.upper() if one.isupper() else letter
    return one


def _cased(like: str, word: str) -> str:
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word


def _zip(shown: str) -> str:
    head = "000" if shown[:3] in SMALL_ZIP3 else shown[:3]
    return head + re.sub(r"\d", "0", shown[3:])
