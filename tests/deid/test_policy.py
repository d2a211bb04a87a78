from pathlib import Path

import pytest

from residency.contract.errors import SpecError
from residency.deid import Policy, load_policy

EXAMPLE = Path(__file__).parents[2] / "examples" / "policy.toml"


def test_the_example_is_complete_and_states_the_defaults() -> None:
    import tomllib

    stated = tomllib.loads(EXAMPLE.read_text("utf-8"))
    assert stated.keys() == Policy.__dataclass_fields__.keys()
    default = Policy(key_file=load_policy(EXAMPLE).key_file)
    assert load_policy(EXAMPLE) == default


def test_the_key_is_sought_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('key_file = "secrets/key"')
    assert load_policy(tmp_path / "policy.toml").key_file == tmp_path / "secrets" / "key"


@pytest.mark.parametrize(
    "line",
    [
        "shift_weeks = 0",
        "max_age = 0",
        'era = "month"',
        'columns = ["name"]',
        'code_systems = ["X/Y"]',
        "nonsense = 1",
    ],
)
def test_a_policy_with_nonsense_is_refused_by_name(tmp_path: Path, line: str) -> None:
    (tmp_path / "policy.toml").write_text(f'key_file = "key"\n{line}\n')
    with pytest.raises(SpecError, match=line.split(" ")[0]):
        load_policy(tmp_path / "policy.toml")


def test_a_preset_holds_where_the_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('preset = "safe_harbor"\nkey_file = "k"\n[notes]\nyears = false\n')
    policy = load_policy(tmp_path / "p.toml")
    assert (policy.notes.dates, policy.notes.years) == ("year", False)
    assert policy.variants.handling == "out"
    assert policy.shift_weeks == 520
    (tmp_path / "q.toml").write_text('preset = "safe_harbor"\nkey_file = "k"\nshift_weeks = 9\n')
    assert load_policy(tmp_path / "q.toml").shift_weeks == 9
    (tmp_path / "r.toml").write_text('key_file = "k"\n')
    assert load_policy(tmp_path / "r.toml") == Policy(key_file=tmp_path / "k")
