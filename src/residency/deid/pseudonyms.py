"""In: columns of visits, references and sites. Out: the same columns under pseudonyms."""

import hmac
from collections.abc import Callable
from typing import Any

import polars as pl

from residency.contract.errors import IdentityError
from residency.contract.identifiers import pseudonym_of, reference_pseudonym


def visits(column: pl.Series, key: bytes) -> pl.Series:
    """Give each visit's pseudonym.

    Raises:
        IdentityError: two visits would share one.
    """
    return _each(column, lambda visit: pseudonym_of(key, visit))


def references(column: pl.Series, key: bytes, kinds: tuple[str, ...]) -> pl.Series:
    """Give each source reference's pseudonym; what is before the slash stays only if it is one of `kinds`.

    Raises:
        IdentityError: two references would share one.
    """

    def one(reference: str) -> str:
        kind, slash, _ = reference.partition("/")
        hidden = reference_pseudonym(key, reference)
        return hidden if slash and kind in kinds else f"Record/{hidden.rpartition('/')[2]}"

    return _each(column, one)


def sites(column: pl.Series, key: bytes) -> pl.Series:
    """Give each site's pseudonym."""

    def one(name: str) -> str:
        return f"site-{hmac.digest(key, b'site' + name.encode(), 'sha256').hex()[:8]}"

    return _each(column, one)


def _each(column: pl.Series, pseudonym: Callable[[Any], int | str]) -> pl.Series:
    """Apply to each distinct value once."""
    known = column.drop_nulls().unique()
    hidden = pl.Series([pseudonym(value) for value in known], dtype=column.dtype)
    if hidden.n_unique() < len(known):
        raise IdentityError("two identifiers would share a pseudonym", mend="make a new key")
    if len(known) == 0:
        return pl.Series(column.name, [None] * len(column), dtype=column.dtype)
    table = pl.DataFrame({"from": known, "to": hidden})
    joined = pl.DataFrame({"from": column}).join(table, on="from", how="left", maintain_order="left")
    return joined["to"].alias(column.name)
