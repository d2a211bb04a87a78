"""In: the name of a library whose warnings repeat what it reads. Out: its silence, for a while."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Let neither a library's log, nor those below it, nor Python's warnings say anything.

    To disable a log would leave those below it talking; so it hands nothing on, and has one handler, which
    says nothing.

    Args:
        library: name of its log, such as `pydicom`.
    """
    log, nothing = logging.getLogger(library), logging.NullHandler()
    was, handlers = log.propagate, log.handlers
    log.propagate, log.handlers = False, [nothing]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.propagate, log.handlers = was, handlers
