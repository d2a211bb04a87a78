"""In: a command line. Out: the verb's command run; a foreseen error is shown without a traceback."""

import errno
import os
import sys
from importlib import import_module
from typing import Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

from residency.contract.errors import ResidencyError

COMMANDS: Final = {
    "simulate": "steps:simulate",
    "ingest": "steps:ingest",
    "key": "steps:key",
    "deidentify": "steps:deidentify",
    "build": "steps:build",
    "plan": "planning:plan",
    "train": "steps:train",
    "adapt": "adapting:adapt",
    "ask": "asking:ask",
    "triage": "triaging:triage",
    "tasks": "examining:tasks",
    "validate": "examining:validate",
    "probe": "probing:probe",
    "attack": "attacks:attack",
    "drift": "drifting:drift",
    "export": "exporting:export",
    "serve": "serving_page:serve",
    "withdraw": "privacy:withdraw",
    "reidentify": "privacy:reidentify",
    "export-dicom": "privacy:export_dicom",
    "sign-risk": "privacy:sign_risk",
    "run": "whole:run",
    "doctor": "doctor:doctor",
    "release": "governing:app",
    "sample-size": "sizing:app",
    "silent": "trialling:app",
}


class Late(TyperGroup):
    """Commands whose modules are loaded when asked for: packing timelines needs no network and no web."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Give every name, in the order of the flow."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Load one command, or group of commands."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        part: Any = getattr(import_module(f"residency.cli.{module}"), name)
        alone = typer.Typer()
        if isinstance(part, typer.Typer):
            alone.add_typer(part, name=cmd_name)
        else:
            alone.command(name=cmd_name)(part)
        return cast(TyperCommand | TyperGroup, typer.main.get_group(alone).commands[cmd_name])


app = typer.Typer(
    cls=Late,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables: records
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def residency() -> None:
    """Residency: an institution's own clinical foundation model, from records to a signed release."""


def main() -> None:
    """Run the command line."""
    # threads that wait for each other sleep: on a machine that does other work, spinning is many times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except ResidencyError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command again to go on")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EADDRINUSE):
            raise
        sys.exit(f"error: {error.strerror}\n  what was finished stays; run the same command again to go on")
