"""Quantiles by hand."""

import numpy as np
import pytest

from transforms.statistics.spread import LEVELS, quantiles


def test_quantiles_lie_on_a_line_between_neighbours_whatever_the_order() -> None:
    assert quantiles(np.arange(20.0, -1, -1)) == {"p05": 1, "p25": 5, "p50": 10, "p75": 15, "p95": 19}
    assert quantiles(np.array([10.0, 0.0])) == {"p05": 0.5, "p25": 2.5, "p50": 5, "p75": 7.5, "p95": 9.5}
    assert set(quantiles(np.array([7.0])).values()) == {7.0}


def test_a_value_that_is_no_number_is_not_hidden() -> None:
    assert quantiles(np.array([1.0, np.nan])) == pytest.approx(dict.fromkeys(LEVELS, np.nan), nan_ok=True)
