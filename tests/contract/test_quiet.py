import logging
import warnings

import pytest

from residency.contract.quiet import quiet


def test_a_library_says_nothing_and_neither_do_the_logs_below_it(caplog) -> None:
    with quiet("odd_library"):
        logging.getLogger("odd_library").error("Ravenscroft")
        logging.getLogger("odd_library.pixels.decoders").exception("Ravenscroft")
        warnings.warn("Ravenscroft", stacklevel=1)
    assert caplog.text == ""


def test_afterwards_it_speaks_again_whatever_happened(caplog) -> None:
    with pytest.raises(ZeroDivisionError), quiet("odd_library"):
        _ = 1 / 0
    logging.getLogger("odd_library.pixels").error("mended")
    assert "mended" in caplog.text
