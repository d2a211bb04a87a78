"""In: a model and its manifest. Out: the model card of an exported folder: what is known, nothing made up."""

from typing import Final

from residency.contract.lineage import Manifest
from residency.model.opened import Model

_CARD: Final = """\
---
library_name: residency
tags:
- residency
- ehr
- survival-analysis
- not-a-medical-device
---

# A clinical foundation model, trained with Residency

**This folder is not a release.** It was exported for research. It has not been examined for any use, nobody
has signed it, and it must not be used in care. A release is a signed bundle that says what it was examined
for.

| | |
|---|---|
| model | `{digest}` |
| trained on | {patients:,} patients ({read:,} read) of one institution, de-identified |
| parameters | {parameters:,} |
| size | {size}: width {width}, {depth} layers, {context} moments |
| codes read | {codes:,} |
| risks given | {targets:,} codes, up to {reach:g} days ahead, with death competing |
| tasks of its own | {labels} |
| reads beside codes | {kinds} |
| intervals | five heads bootstrapped by patient, 90% |

```python
from residency.model.exporting import open_exported

model = open_exported("this folder")  # every file is checked against config.json
```

Risks are of being *diagnosed*. Who was left out of the data, and how it does in groups, this folder does not
tell: examine it on your own patients (`residency validate`) before you believe a number.

To be said by people: licence, contact, intended use.
"""


def card_of(model: Model, made: Manifest) -> str:
    """Write the card of measurements and settings alone."""
    shape = model.spec.shape
    return _CARD.format(
        digest=model.digest,
        patients=made.rows.kept,
        read=made.rows.read,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        size=model.spec.size,
        width=shape.width,
        depth=shape.depth,
        context=model.spec.context,
        codes=len(model.vocabulary),
        targets=len(model.targets),
        reach=float(model.edges_days[-1]),
        labels=", ".join(model.labels) or "none",
        kinds=", ".join(model.kinds) or "nothing",
    )
