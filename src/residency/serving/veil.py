"""In: one patient's identified events. Out: the same without identities, and the way back."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from residency.deid import Policy, Tables, load_policy, transform


@dataclass(frozen=True)
class Veiled:
    """One patient as the model's training patients were.

    Attributes:
        events: without identities.
        rows: of each, its row in the identified events.
        shift: how far every time of the patient moved.
    """

    events: pa.Table
    rows: Int64[np.ndarray, " event"]
    shift: timedelta


@dataclass(frozen=True)
class Veil:
    """A release's de-identification, for requests.

    Attributes:
        policy: None where the training data had no identities.
        key: the secret; any will do: a model sees neither pseudonyms nor dates.
    """

    policy: Policy | None
    key: bytes

    @classmethod
    def of(cls, policy: Path | None, key: bytes) -> "Veil":
        """Read the policy that a release carries."""
        return cls(load_policy(policy) if policy is not None else None, key)

    def over(self, events: pa.Table) -> Veiled:
        """Take the identities out of one patient's events."""
        if self.policy is None:
            return Veiled(events, np.arange(events.num_rows, dtype=np.int64), timedelta(0))
        hidden = transform(Tables(events), self.policy, self.key)
        (shift,) = hidden.people["shift"].to_list()
        return Veiled(hidden.tables.events, hidden.rows, timedelta(microseconds=shift))
