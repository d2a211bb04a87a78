"""In: a command line. Out: the verb's command run; a foreseen error is shown without a traceback."""

import errno
import os
import sys

import typer

from residency.cli import (
    adapting,
    asking,
    attacks,
    drifting,
    examining,
    exporting,
    governing,
    planning,
    privacy,
    probing,
    serving_page,
    sizing,
    steps,
    triaging,
    trialling,
    whole,
)
from residency.cli.doctor import doctor
from residency.contract.errors import ResidencyError

app = typer.Typer(
    help=__doc__
    and "Residency: an institution's own clinical foundation model, from records to a signed release.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables: records
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    steps.simulate,
    steps.ingest,
    steps.key,
    steps.deidentify,
    steps.build,
    planning.plan,
    steps.train,
    adapting.adapt,
    asking.ask,
    triaging.triage,
    examining.tasks,
    examining.validate,
    probing.probe,
    attacks.attack,
    drifting.drift,
    exporting.export,
):
    app.command()(command)
app.add_typer(governing.app, name="release")
app.add_typer(sizing.app, name="sample-size")
app.add_typer(trialling.app, name="silent")
app.command()(serving_page.serve)
app.command()(privacy.withdraw)
app.command()(privacy.reidentify)
app.command(name="export-dicom")(privacy.export_dicom)
app.command(name="sign-risk")(privacy.sign_risk)
app.command()(whole.run)
app.command()(doctor)


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
