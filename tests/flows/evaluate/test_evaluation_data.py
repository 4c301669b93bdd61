"""Which pairs an evaluation reads: those with an order, each with its subset."""

import pytest
from flows_support import pair, truncate_recipe

from flows.evaluate.data import load_pairs
from flows.runtime.progress import Progress
from flows.versions.fingerprint import source_records
from transforms.errors import SourceError


@pytest.fixture
def load(tmp_path):
    def load_rows(*rows):
        sources = truncate_recipe(tmp_path, list(rows)).sources
        return load_pairs(sources, source_records(sources), Progress())

    return load_rows


def scored(number, chosen_score, rejected_score, subset=None):
    scores = {"chosen_score": chosen_score, "rejected_score": rejected_score}
    return pair(number) | scores | {"id": number, "subset": subset}


def test_a_tie_has_no_order_to_get_right_and_is_left_out_with_its_reason(load):
    found = load(scored(0, 2, 1, "one"), scored(1, 1, 1, "two"), scored(2, 3, 1, "three"))
    assert found.labelled.subsets == ("one", "three")
    assert found.labelled.pairs["source_id"].to_pylist() == ["0", "2"]
    assert found.labelled.pairs["reason"].to_pylist() == [None, None]
    counts = found.counts
    assert (counts.raw_rows, counts.read, counts.loaded, counts.left_out) == (3, 3, 2, {"tie": 1})


def test_a_benchmark_of_ties_alone_is_refused(load):
    with pytest.raises(SourceError, match="no pair to evaluate among 1 read: tie"):
        load(scored(0, 1, 1))
