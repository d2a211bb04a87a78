"""In: postal codes. Out: their first three digits, `000` where too few people live."""

from typing import Final

import polars as pl

ZIP3_LIST: Final = "2010-census"
"""Version of `SMALL_ZIP3` (HHS guidance on de-identification): 20,000 people or fewer in the 2010 census."""

SMALL_ZIP3: Final = frozenset(
    "036 059 102 202 203 204 205 369 556 692 753 772 821 823 878 879 884 893".split()  # noqa: SIM905
)

STATES: Final = frozenset(
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV "  # noqa: SIM905
    "NH NJ NM NY NC ND OH OK OR PA PR RI SC SD TN TX UT VT VA WA WV WI WY".split()
)
"""States of the USA, which may stay."""


def zip3(text: pl.Expr) -> pl.Expr:
    """Give the first three digits of US postal codes; `000` for small ones, null for what is no such code.

    Example:
        >>> codes = pl.DataFrame({"zip": ["02139-4307", "03601", "SW1A 1AA"]})
        >>> codes.select(short=zip3(pl.col("zip")))["short"].to_list()
        ['021', '000', None]
    """
    head = text.str.extract(r"^\s*([0-9]{3})[0-9]{0,2}(?:-?[0-9]{4})?\s*$", 1)
    return pl.when(head.is_in(list(SMALL_ZIP3))).then(pl.lit("000")).otherwise(head)
