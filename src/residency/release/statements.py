"""In: what people state about a model, in TOML. Out: the statements, and the list of those still missing."""

from dataclasses import fields
from pathlib import Path
from typing import Final

from residency.contract import specs
from residency.contract.specs import spec


@spec
class Statements:
    """What only a person can say; an empty one is asked for on the card, never made up.

    Attributes:
        developer: who answers for the model, and how to reach them.
        funding: who paid.
        intended_use: what it is for.
        intended_population: for which patients.
        intended_users: who reads it.
        decision_role: what it informs, and who decides.
        cautioned_uses: what it is not for.
        known_risks: what can go wrong.
        fairness_approach: how differences between groups are dealt with.
        monitoring: who looks at what, how often, after release.
        updates: how and when it is trained again.
        device_determination: whether a regulator's rules make it a device, by task, and who decided.
        references: on the outcomes it was shown to change.
    """

    developer: str = ""
    funding: str = ""
    intended_use: str = ""
    intended_population: str = ""
    intended_users: str = ""
    decision_role: str = ""
    cautioned_uses: str = ""
    known_risks: str = ""
    fairness_approach: str = ""
    monitoring: str = ""
    updates: str = ""
    device_determination: str = ""
    references: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what nobody has stated yet."""
        return tuple(field.name for field in fields(self) if not getattr(self, field.name).strip())


OWNER: Final[dict[str, str]] = {
    "developer": "the developing institution",
    "funding": "the developing institution",
    "updates": "the developing institution",
    "references": "the developing institution",
    "device_determination": "regulatory affairs",
    "monitoring": "the clinical safety officer",
    "known_risks": "the clinical safety officer",
    "cautioned_uses": "the clinical safety officer",
}


def owner_of(name: str) -> str:
    """Say who has to state it."""
    return OWNER.get(name, "the release board")


def load_statements(path: Path | None) -> Statements:
    """Read statements; none at all where there is no file."""
    return specs.load(Statements, path) if path is not None else Statements()
