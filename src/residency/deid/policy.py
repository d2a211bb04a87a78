"""In: a policy file. Out: what may stay in the tables, and how the rest is changed."""

from dataclasses import field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from residency.contract import specs
from residency.contract.codes import SYSTEMS
from residency.contract.errors import InputError
from residency.contract.schema import EVENTS
from residency.contract.specs import spec
from residency.deid.handling import ImagesRules, NotesRules, RiskRules, VariantsRules
from residency.deid.places import ZIP3_LIST

OPTIONAL_COLUMNS: Final = ("text_value", "unit", "visit_id", "site", "era", "source")
_SYSTEMS: Final = tuple(system.name for system in SYSTEMS)


@spec
class Policy:
    """How identities are taken out. Columns and code systems are allowed, never forbidden.

    Attributes:
        preset: what holds where the file says nothing: `expert_determination` (dates shifted), or
            `safe_harbor` (in notes no more of a date than its year; no genomes).
        key_file: the secret; outside every data folder. Relative to the policy file.
        key_fingerprint: where given, no other key is taken.
        shift_weeks: each patient's dates move by 1 to this many whole weeks, forwards or backwards.
        max_age: the highest age that may show, in years.
        age_codes: codes whose value is an age; a higher one becomes `max_age` + 1.
        zip_codes: codes whose text is a postal code; three digits of it stay.
        zip_list: version of the list of prefixes with 20,000 people or fewer.
        columns: columns that stay; of `text_value`, only where `keep_text` names the code.
        code_systems: systems whose events stay (what stands before the slash of a code).
        local_systems: systems whose codes a source makes up; those that our table lacks count as such too.
        rare_code_patients: a made-up code that fewer patients have becomes `UNKNOWN`, without value and text.
        keep_text: codes whose `text_value` stays as it is.
        era: coarseness of the true calendar period that stays; `off` for none.
        era_blur_days: each patient's borders between eras move by up to this, so that a border, seen in
            shifted dates, does not tell the shift.
        sites: `keep` their names, or give them pseudonyms.
        max_unfit_share: of notes, and of exported files, how many may stay behind because an identifier was
            left in them or because they are broken; beyond it the run stops.
        reference_kinds: what may stand before the slash of a source reference.
        notes: what passes of notes.
        images: what passes of images.
        variants: what passes of genomes.
        risk: what is done about patients whom few others are like.
    """

    preset: Literal["expert_determination", "safe_harbor"] = "expert_determination"
    key_file: Path
    key_fingerprint: str = ""
    shift_weeks: int = 52
    max_age: int = 89
    age_codes: tuple[str, ...] = ("DEMOGRAPHIC/AGE", "LOINC/30525-0", "LOINC/21612-7", "LOINC/29553-5")
    zip_codes: tuple[str, ...] = ("DEMOGRAPHIC/ZIP",)
    zip_list: Literal["2010-census"] = ZIP3_LIST
    columns: tuple[str, ...] = OPTIONAL_COLUMNS
    code_systems: tuple[str, ...] = _SYSTEMS
    local_systems: tuple[str, ...] = ("LOCAL", "LAB", "VITAL")
    rare_code_patients: int = 11
    keep_text: tuple[str, ...] = ()
    era: Literal["half-year", "year", "off"] = "half-year"
    era_blur_days: int = 45
    sites: Literal["keep", "pseudonym"] = "keep"
    max_unfit_share: float = 0.05
    reference_kinds: tuple[str, ...] = (
        "AllergyIntolerance",
        "Condition",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "Genome",
        "ImagingStudy",
        "Immunization",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Patient",
        "Procedure",
    )
    notes: NotesRules = field(default_factory=NotesRules)
    images: ImagesRules = field(default_factory=ImagesRules)
    variants: VariantsRules = field(default_factory=VariantsRules)
    risk: RiskRules = field(default_factory=RiskRules)

    def __post_init__(self) -> None:
        if not 1 <= self.shift_weeks <= 5200:
            raise ValueError("shift_weeks must be 1 to 5200")
        if self.max_age < 1:
            raise ValueError("max_age must be 1 or more")
        if self.era_blur_days < 0:
            raise ValueError("era_blur_days must be 0 or more")
        if not 0 <= self.max_unfit_share <= 1:
            raise ValueError("max_unfit_share must be 0 to 1")
        if strange := sorted(set(self.columns) - set(OPTIONAL_COLUMNS)):
            raise ValueError(f"columns can keep {', '.join(OPTIONAL_COLUMNS)}; not {', '.join(strange)}")
        if "" in self.code_systems or any("/" in system for system in self.code_systems):
            raise ValueError("code_systems takes what stands before the slash of a code")

    def refuse_unfit(self, what: str, n_unfit: int, n: int) -> None:
        """Stop a run of which too much stays behind.

        Raises:
            InputError: more than `max_unfit_share` does.
        """
        if n_unfit > self.max_unfit_share * n:
            raise InputError(
                f"{n_unfit} of {n} {what} are broken, or still hold an identifier: more than max_unfit_share",
                mend="look at what is wrong with them; only then raise the policy's bound",
            )

    @property
    def hidden_columns(self) -> tuple[str, ...]:
        """Columns of the events that become null."""
        return tuple(name for name in EVENTS.names if name in OPTIONAL_COLUMNS and name not in self.columns)


def load_policy(path: Path) -> Policy:
    """Read a policy, over the preset that it names; its key file is sought beside it.

    Raises:
        SpecError: the file is absent or names every wrong key at once.
    """
    stated = specs.load_toml(path)
    presets = specs.load_toml(Path(str(files("residency.deid").joinpath("presets.toml"))))
    base = presets.get(str(stated.get("preset")), {})
    policy = specs.read(Policy, _over(base, stated), where=str(path))
    return replace(policy, key_file=path.parent / policy.key_file)


def _over(base: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """Put what a file states over a preset, table by table."""
    merged = base | stated
    for name, table in base.items():
        if isinstance(table, dict) and isinstance(stated.get(name), dict):
            merged[name] = table | stated[name]
    return merged
