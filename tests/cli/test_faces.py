import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import residency
from residency.cli.app import app

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, TyperGroup):
        return [path]
    context = typer.Context(command)
    inner = {key: command.get_command(context, key) for key in command.list_commands(context)}
    return [name for key, item in inner.items() for name in commands(item, (*path, key))]


COMMANDS = commands(typer.main.get_command(app))
PROMISED = ["simulate", "ingest", "deidentify", "build", "train", "ask", "validate", "serve", "run", "doctor"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "residency", *arguments], capture_output=True, text=True, check=False
    )


def test_every_promised_command_is_there() -> None:
    assert {(name,) for name in PROMISED} <= set(COMMANDS)
    promised = ["propose", "sign", "promote", "retire", "verify", "export", "show"]
    assert {("release", name) for name in promised} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_is_in_the_docs(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Example:" in shown.output
    assert f"`residency {' '.join(path)}`" in DOCS.read_text("utf-8")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_speaks_to_machines(path: tuple[str, ...]) -> None:
    assert path == ("serve",) or "--json" in CliRunner().invoke(app, [*path, "--help"]).output


def test_a_command_loads_what_it_needs_and_nothing_heavier() -> None:
    heavy = "{'torch', 'fastapi', 'lightgbm', 'sklearn', 'scipy', 'pandas', 'matplotlib'}"
    asked = "from residency.cli.app import app; app(['build', '-h'], standalone_mode=False)"
    script = f"import sys; {asked}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("name", residency.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(residency, name)


def test_a_foreseen_error_is_one_message_without_a_traceback_and_exit_code_1(tmp_path: Path) -> None:
    done = run("build", str(tmp_path / "absent"), str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_usage_is_exit_code_2() -> None:
    assert run("build").returncode == 2
    assert run("practise").returncode == 2


def test_the_doctor_finds_this_machine_fit_and_says_so_to_machines(tmp_path: Path) -> None:
    done = run("doctor", str(tmp_path), "--json")
    findings = json.loads(done.stdout)
    assert {"versions", "extra model", "extra serving", "plugins", "disk", "machine"} <= {
        f["what"] for f in findings
    }
    assert done.returncode == int(any(f["state"] == "bad" for f in findings))


def test_the_doctor_minds_a_key_that_others_can_read(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o644)
    done = run("doctor", str(tmp_path), "--key", str(key))
    assert done.returncode == 1
    assert "chmod 600" in done.stdout
