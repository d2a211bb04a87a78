"""In: a note before and after de-identification, and a place in the one. Out: the place in the other."""

import re
from difflib import SequenceMatcher
from typing import Final

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def place_in(own: str, hidden: str, start: int, end: int) -> tuple[int, int]:
    """Find where in a note what stands at a place of its de-identified text stands; whole words.

    Words that were replaced lie between the same neighbours in both.

    Args:
        own: the note as it came.
        hidden: the same without identities.
        start: first character, in `hidden`.
        end: one past the last.

    Example:
        >>> place_in("Seen by Dr Achterberg. Smokes.", "Seen by Dr Li. Smokes.", 15, 22)
        (23, 30)
    """
    mine, theirs = ([match.span() for match in _WORD.finditer(text)] for text in (own, hidden))
    inside = [at for at, (low, high) in enumerate(theirs) if low < end and high > start]
    if not inside:
        return 0, len(own)
    words = ([own[low:high] for low, high in mine], [hidden[low:high] for low, high in theirs])
    same = SequenceMatcher(None, words[1], words[0], autojunk=False).get_opcodes()
    first, last = inside[0], inside[-1]
    low = next(j + (first - i if tag == "equal" else 0) for tag, i, to, j, _ in same if i <= first < to)
    high = next(
        j + (last - i + 1 if tag == "equal" else until - j) for tag, i, to, j, until in same if i <= last < to
    )
    if high <= low:  # nothing of it is left there
        return 0, len(own)
    return mine[low][0], mine[high - 1][1]
