"""In: rows of notes, variants, identifiers and links, one at a time. Out: batches of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from residency.contract import schema
from residency.contract.plugins import Rows, TableName
from residency.records import clock
from residency.records.draft import LINKS

_SCHEMAS: Final[dict[TableName, pa.Schema]] = {
    "notes": schema.NOTES,
    "variants": schema.VARIANTS,
    "identifiers": schema.IDENTIFIERS,
    "links": LINKS,
}


class SideTables:
    """Rows of tables other than events, until a batch of them is given."""

    def __init__(self) -> None:
        self._rows: dict[TableName, list[Mapping[str, Any]]] = {name: [] for name in _SCHEMAS}

    def add(self, table: TableName, row: Mapping[str, Any]) -> None:
        """Take one row; columns that are not in it are null."""
        self._rows[table].append(row)

    def batches(self) -> Iterator[Rows]:
        """Give what there is, and begin anew; their source rows are counted elsewhere."""
        for name, rows in self._rows.items():
            if rows:
                yield Rows(name, batch(rows, _SCHEMAS[name]), n=0)
            rows.clear()


def batch(rows: Sequence[Mapping[str, Any]], of: pa.Schema) -> pa.RecordBatch:
    """Make columns of rows; what a row lacks is null."""
    columns = [pa.array([row.get(item.name) for row in rows], item.type) for item in of]
    return pa.RecordBatch.from_arrays(columns, schema=of)


def moment(value: int) -> int | None:
    """Give microseconds as a table has them: null where there is no time."""
    return None if value == clock.NONE else value
