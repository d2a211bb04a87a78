import numpy as np
import pytest
from jaxtyping import TypeCheckError

from residency.validation.groups import thirds


def test_two_arrays_that_should_be_as_long_as_each_other_are_checked_to_be() -> None:
    with pytest.raises(TypeCheckError, match="thirds"):
        thirds(np.zeros(3, np.int64), np.zeros(4, bool))
