"""In: what is being done and how far it is. Out: whatever the caller shows of it.

A step calls `progress(what, done, total)`: `what` is a fixed phrase, never a value of a record; `total` is
None where it is not known.
"""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]


def silent(what: str, done: int, total: int | None) -> None:
    """Show nothing."""
