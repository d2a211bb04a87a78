"""In: a mapping file. Out: the settings that all sources share: sites, zone, split, units, observation."""

from dataclasses import field, fields
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from residency.contract import specs
from residency.contract.identifiers import DEFAULT_SALT
from residency.contract.specs import spec
from residency.records.documents import Document

DEFAULT_SITE = "main"


@spec
class ObservationRule:
    """When a patient would have been seen.

    Attributes:
        rule: `contact`: from a first contact to a last, and `gap_days` on, unless contacts lie further apart
            than `gap_days`; `rows`: from the first row to the last, where rows are written whether or not
            anything happens.
        gap_days: the longest silence that still counts as being looked after.
    """

    rule: Literal["contact", "rows"] = "contact"
    gap_days: float = 730.0

    def __post_init__(self) -> None:
        if self.gap_days <= 0:
            raise ValueError("gap_days must be more than 0")


@spec
class Settings:
    """What every mapping file may hold, whatever the source.

    Attributes:
        site: name of the hospital, where the input is of one.
        site_from: `folder` where the first folder below each path names the site.
        sites: new names of sites, by the name found.
        time_zone: of the sites; times that carry an offset are turned into its wall clock. Without it their
            own wall clock is kept.
        split_salt: of the train, tuning and held-out split.
        units: UCUM unit of a code; for the others the most frequent one is taken.
        observation: when a patient would have been seen.
        max_bad_share: of the rows read, how many may hold a value that cannot be.
    """

    site: str = ""
    site_from: Literal["", "folder"] = ""
    sites: dict[str, str] = field(default_factory=dict)
    time_zone: str = ""
    split_salt: str = DEFAULT_SALT
    units: dict[str, str] = field(default_factory=dict)
    observation: ObservationRule = ObservationRule()
    max_bad_share: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError("max_bad_share must be 0 to 1")
        if self.site and self.site_from:
            raise ValueError("give site or site_from, not both")
        if self.time_zone:
            try:
                ZoneInfo(self.time_zone)
            except (ZoneInfoNotFoundError, ValueError):
                raise ValueError("time_zone is not known") from None

    @property
    def default_site(self) -> str:
        """Name of the site where nothing else tells it."""
        return self.sites.get(self.site or DEFAULT_SITE, self.site or DEFAULT_SITE)

    def site_of(self, document: Document) -> str:
        """Name the site that a document comes from."""
        if self.site_from != "folder":
            return self.default_site
        return self.sites.get(document.folder, document.folder)


def shared(mapping: dict[str, Any]) -> Settings:
    """Read what all sources share, and leave the rest to the source."""
    names = {item.name for item in fields(Settings)}
    return specs.read(
        Settings, {key: value for key, value in mapping.items() if key in names}, where="mapping"
    )
