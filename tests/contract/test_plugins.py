import subprocess
import sys

import pytest

from residency.contract.errors import PluginError
from residency.contract.plugins import ENCODERS, SOURCES, RecordSource


def test_our_sources_come_in_by_the_door_that_everyone_uses() -> None:
    assert {"fhir", "meds", "table"} <= set(SOURCES.names())
    assert all(isinstance(SOURCES.get(name), RecordSource) for name in ("fhir", "meds", "table"))


def test_an_unknown_part_is_refused_with_the_choices() -> None:
    with pytest.raises(PluginError, match="fhir"):
        SOURCES.get("telepathy")
    with pytest.raises(PluginError):
        ENCODERS.get("telepathy")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'fastapi', 'lightgbm', 'nicegui', 'sklearn', 'polars', 'pandas', 'matplotlib'}"
    script = f"import sys, residency; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
