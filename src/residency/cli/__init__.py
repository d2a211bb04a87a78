"""In: a command line. Out: one verb done, and an exit code: 0 done, 1 foreseen error, 2 wrong usage."""

from residency.cli.app import main as main
