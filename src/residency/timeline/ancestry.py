"""In: codes and their stated parents. Out: the ancestors of any code, nearest first; rings do no harm."""

from collections.abc import Iterable, Mapping

import polars as pl

from residency.contract.codes import built_in_parents


class Ancestry:
    """The ancestors of codes: stated parents first, then what a code's spelling tells.

    Args:
        stated: parents of a code, as `metadata/codes.parquet` has them.
    """

    def __init__(self, stated: Mapping[str, tuple[str, ...]]) -> None:
        self._stated = stated
        self._known: dict[str, tuple[str, ...]] = {}

    def parents(self, code: str) -> tuple[str, ...]:
        """Give a code's own parents."""
        return tuple(dict.fromkeys([*self._stated.get(code, ()), *built_in_parents(code)]))

    def ancestors(self, code: str) -> tuple[str, ...]:
        """Give every ancestor once, nearest first; never the code itself."""
        if code not in self._known:
            found = {code: None}
            layer = self.parents(code)
            while layer:
                fresh = [parent for parent in dict.fromkeys(layer) if parent not in found]
                found.update(dict.fromkeys(fresh))
                layer = tuple(above for parent in fresh for above in self.parents(parent))
            self._known[code] = tuple(found)[1:]
        return self._known[code]

    def closure(self, codes: Iterable[str]) -> pl.DataFrame:
        """Give each code with itself and each of its ancestors: columns `code`, `node`."""
        pairs = [(code, node) for code in codes for node in (code, *self.ancestors(code))]
        return pl.DataFrame(pairs, schema={"code": pl.String, "node": pl.String}, orient="row")


def ancestry_of(codes: pl.DataFrame) -> Ancestry:
    """Read the stated parents from a table of codes (`contract.schema.CODES`)."""
    rows = codes.filter(pl.col("parent_codes").list.len() > 0).select("code", "parent_codes").iter_rows()
    return Ancestry({code: tuple(parents) for code, parents in rows})
