"""In: a release policy in TOML. Out: its gates, its steps and the people who may sign, checked."""

import re
from pathlib import Path
from typing import Final, Literal

from residency.contract import specs
from residency.contract.errors import SpecError
from residency.contract.questions import Modality
from residency.contract.specs import spec
from residency.release.states import LADDER, State

Source = Literal["model", "baseline", "stack", "paired"]
Bound = Literal["value", "low", "high"]
Decides = Literal["task", "population", "release"]

_FINGERPRINT: Final = re.compile(r"sha256:[0-9a-f]{64}")
DEMO: Final = "DEMO"


@spec
class Gate:
    """One named, versioned rule over the report.

    Attributes:
        name: of the rule; with `version` it says which rule a verdict came from.
        version: raised whenever the rule changes.
        why: one sentence for the board.
        task: which tasks, as a shell pattern.
        slice: which slices of a task, as a shell pattern (`all`, `site=*`, `group=*`).
        source: whose figures: the model's, the baseline's, the stack's, or the paired difference.
        metric: as the report names it.
        bound: which end of the interval is held against the limits; an honest rule takes the worse one.
        at_least: lower limit; none where absent.
        at_most: upper limit; none where absent.
        min_events: with fewer events the gate cannot tell.
        decides: what falls when the rule does not pass: the task, the one population, or the release.
    """

    name: str
    version: int
    metric: str
    why: str = ""
    task: str = "*"
    slice: str = "all"
    source: Source = "model"
    bound: Bound = "value"
    at_least: float | None = None
    at_most: float | None = None
    min_events: int = 100
    decides: Decides = "task"

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"gate {self.name} needs at_least, at_most, or both")

    @property
    def limits(self) -> str:
        """The rule in words."""
        parts = [
            f"at least {self.at_least:g}" if self.at_least is not None else "",
            f"at most {self.at_most:g}" if self.at_most is not None else "",
        ]
        source = "" if self.source == "model" else f"{self.source} "
        end = "" if self.bound == "value" else f", {self.bound} end of its interval,"
        return f"{source}{self.metric}{end} {' and '.join(part for part in parts if part)}"


@spec
class Signer:
    """One person who may sign.

    Attributes:
        name: of the person.
        role: in the institution.
        key: fingerprint of the person's public key, as `release.fingerprint_of` gives it.
    """

    name: str
    role: str
    key: str

    def __post_init__(self) -> None:
        if not _FINGERPRINT.fullmatch(self.key):
            raise ValueError("key must be sha256: and 64 hexadecimal digits")


@spec
class Step:
    """What one step up needs.

    Attributes:
        to: the state that is earned.
        gates: names of the release-wide gates that must pass; task gates shape the allow list instead.
        tasks: whether one task on the allow list is enough, every examined task must be, or none need
            be: such a release may answer nothing, but can be looked at.
        signers: how many different people.
        roles: roles that must be among them.
        min_days: how long the release has been in the state before, when it is signed.
        statements: whether all that only a person can say has been stated.
    """

    to: Literal["validated", "silent", "internal", "released"]
    gates: tuple[str, ...] = ()
    tasks: Literal["any", "all", "none"] = "any"
    signers: int = 2
    roles: tuple[str, ...] = ()
    min_days: float = 0.0
    statements: bool = False

    def __post_init__(self) -> None:
        if self.signers < 2:
            raise ValueError("signers must be 2 or more")


@spec
class ReleasePolicy:
    """Who decides, by which rules, about every step up.

    Attributes:
        name: of the policy.
        version: raised whenever it changes.
        institution: whose releases it governs.
        gate: the rules.
        step: what each step up needs, one for each state above `proposed`.
        signer: the people.
        demo: whether every release under it is for show on one machine only.
        when_cannot_tell: for a group with too few events to know: give no number, or give it with a warning.
        needed: kinds of records without which nothing is answered.
        holdout_share: share of the institution's own patients of whom no figure is ever shown: a comparison
            that nothing influenced (`validation.silent.arm_of`).
        holdout_seed: of the hash that deals them; that of the silent trial's plan.
    """

    name: str
    version: int
    institution: str
    gate: tuple[Gate, ...]
    step: tuple[Step, ...]
    signer: tuple[Signer, ...]
    demo: bool = False
    when_cannot_tell: Literal["abstain", "warn"] = "abstain"
    needed: tuple[Modality, ...] = ()
    holdout_share: float = 0.0
    holdout_seed: int = 0

    def __post_init__(self) -> None:
        faults = [
            *_repeated("gate", [gate.name for gate in self.gate]),
            *_repeated("step", [step.to for step in self.step]),
            *_repeated("signer", [signer.name.casefold() for signer in self.signer]),
            *_repeated("key", [signer.key for signer in self.signer]),
            *(f"no step to {state}" for state in LADDER[1:] if state not in {step.to for step in self.step}),
            *(
                f"step to {step.to} names gate {name}, which decides no release"
                for step in self.step
                for name in step.gates
                if name not in {gate.name for gate in self.gate if gate.decides == "release"}
            ),
            *(["holdout_share must be 0 or more, and below 1"] if not 0 <= self.holdout_share < 1 else []),
        ]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def is_demo(self) -> bool:
        """Whether the policy, or anyone it names, is labelled DEMO."""
        return self.demo or any(signer.name.upper().startswith(DEMO) for signer in self.signer)

    def step_to(self, state: State) -> Step:
        """Give what the step to `state` needs."""
        return next(step for step in self.step if step.to == state)

    def signer_of(self, key: str) -> Signer | None:
        """Give the person whose key has this fingerprint; None where the policy names no one."""
        return next((signer for signer in self.signer if signer.key == key), None)


def _repeated(kind: str, names: list[str]) -> list[str]:
    return [f"{kind} {name} is given twice" for name in sorted(set(names)) if names.count(name) > 1]


def load_policy(path: Path) -> ReleasePolicy:
    """Read a policy.

    Raises:
        SpecError: the file is absent, is no TOML, or breaks a rule of its own.
    """
    policy = specs.load(ReleasePolicy, path)
    if not policy.gate or not policy.signer:
        raise SpecError("a release policy needs gates and signers", where=str(path))
    return policy
