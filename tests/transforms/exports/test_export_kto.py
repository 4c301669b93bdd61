"""Labels of single responses: thresholds worked by hand, repeated responses, the margin, and KTO's weights."""

import numpy as np
import pytest
from export_support import TOOLS, kept, structure, table_of
from hypothesis import assume, given
from hypothesis import strategies as st

from transforms.errors import ConfigError
from transforms.exports.kto import ScoreTable, judged, responses_of
from transforms.exports.pairs import pairs_of
from transforms.exports.thresholds import EVEN_SPREAD, ONE_HEAP, find_threshold, otsu, weights

SCORES = st.lists(st.integers(-50, 50), min_size=2, max_size=30).filter(lambda found: len(set(found)) > 1)


def responses(*rows, score="reward"):
    return list(responses_of(pairs_of(table_of(list(rows)), score)))


def labels(found, threshold, margin=0.0, structured=False):
    verdicts = judged(found, ScoreTable(found), threshold, margin, structured=structured)
    return [one.left_out or one.row["label"] for one in verdicts]


def test_otsu_parts_two_groups_midway():
    # w₀w₁(μ₁−μ₀)²: {0,1,2 | 10,12} 6/25·10² = 24; {0,1 | 2,10,12} 6/25·7.5² = 13.5; {0,1,2,10 | 12} 4/25·8.75² = 12.25
    assert otsu(np.array([0.0, 1, 2, 10, 12])) == 6.0


def test_otsu_counts_equal_scores():
    # {0 | 1,1,1,4} 4/25·1.75² = 0.49; {0,1,1,1 | 4} 4/25·3.25² = 1.69
    assert otsu(np.array([1.0, 4, 1, 0, 1])) == 2.5


def test_of_equal_optima_the_lowest_is_taken():
    assert otsu(np.array([0.0, 1, 2])) == 0.5


def test_neighbouring_floats_are_parted():
    low = 1.0
    high = float(np.nextafter(low, 2))
    threshold = otsu(np.array([low, high]))
    assert low < threshold <= high


@given(SCORES)
def test_otsu_is_the_best_of_all_thresholds(found):
    scores = np.array(found, float)

    def between(threshold):
        good = scores >= threshold
        return good.mean() * (1 - good.mean()) * (scores[good].mean() - scores[~good].mean()) ** 2

    best = max(between(value) for value in sorted(set(found))[1:])
    assert between(otsu(scores)) == pytest.approx(best)


@given(SCORES, st.sampled_from([0.5, 2.0, 4.0]), st.integers(-8, 8))
def test_another_unit_or_origin_of_the_scores_gives_the_same_classes(found, scale, shift):
    scores = np.array(found, float)
    moved = scores * scale + shift
    ranked = np.unique(scores)
    spread = [
        (scores >= t).mean() * (scores < t).mean() * (scores[scores >= t].mean() - scores[scores < t].mean()) ** 2
        for t in ranked[1:]
    ]
    assume(sum(np.isclose(one, max(spread)) for one in spread) == 1)  # of equal optima rounding may take either
    assert ((scores >= otsu(scores)) == (moved >= otsu(moved))).all()


def test_separation_is_the_share_of_variance_between_the_classes():
    found = find_threshold(np.array([0.0, 0, 1, 1]), "otsu")
    assert (found.value, found.method, found.separation) == (0.5, "otsu", 1.0)
    # means 0.5 and 2.5: 1/4·2² = 1 of a variance of 5/4
    assert find_threshold(np.array([0.0, 1, 2, 3]), "otsu").separation == pytest.approx(0.8)


def test_a_normal_heap_and_an_even_spread_are_what_they_are_said_to_be():
    from scipy.stats import norm

    quantiles = (np.arange(20_000) + 0.5) / 20_000
    assert find_threshold(norm.ppf(quantiles), "otsu").separation == pytest.approx(ONE_HEAP, abs=1e-3)
    assert find_threshold(quantiles, "otsu").separation == pytest.approx(EVEN_SPREAD, abs=1e-6)


def test_the_median_and_a_number_are_taken_as_they_are():
    scores = np.array([0.0, 1, 5, 9])
    assert find_threshold(scores, "median")[:2] == (3.0, "median")
    assert find_threshold(scores, 9.0)[:2] == (9.0, "given")


@pytest.mark.parametrize(
    ("scores", "how", "words"),
    [
        ([], "otsu", "no response has a score"),
        ([2.0, 2.0], "otsu", "all 2 responses have the score 2"),
        ([2.0, 2.0], "median", "all 2 responses have the score 2"),
        ([1.0, 2.0], 3.0, "no response is desirable (scores lie between 1 and 2)"),
        ([1.0, 2.0], 1.0, "every response is desirable"),
        ([1.0, 1.0, 2.0, 1.0], "median", "every response is desirable"),
    ],
)
def test_a_threshold_that_parts_nothing_is_refused(scores, how, words):
    with pytest.raises(ConfigError) as refused:
        find_threshold(np.array(scores, float), how)
    assert words in str(refused.value)


def test_weights_lift_the_kind_with_fewer_responses():
    # 100 : 300, λ_D between 3 and 4 while λ_U is 1; the middle of 1 and 4/3 is 7/6
    found = weights(100, 300)
    assert found[:2] == pytest.approx((3.5, 1.0))
    assert found.desirable_range == pytest.approx((3, 4))
    assert found.undesirable_range == pytest.approx((0.25, 1 / 3))
    assert weights(300, 100)[:2] == pytest.approx((1.0, 18 / 7))


@pytest.mark.parametrize(("desirable", "undesirable"), [(100, 100), (120, 100), (4, 3)])
def test_counts_within_the_bounds_need_no_weights(desirable, undesirable):
    assert weights(desirable, undesirable)[:2] == (1.0, 1.0)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_weights_keep_the_ratio_that_the_paper_asks_for(desirable, undesirable):
    found = weights(desirable, undesirable)
    ratio = found.desirable * desirable / (found.undesirable * undesirable)
    assert 1 - 1e-9 <= ratio <= 4 / 3 + 1e-9
    assert min(found.desirable, found.undesirable) == 1.0


def test_a_label_is_of_the_score_and_not_of_the_side():
    found = responses(
        kept(0, reward_chosen=2.0, reward_rejected=1.0), kept(1, reward_chosen=-1.0, reward_rejected=-2.0)
    )
    assert labels(found, 0.0) == [True, True, False, False]
    assert labels(found, 1.0) == [True, True, False, False]  # at the threshold is desirable


def test_a_row_says_what_it_is_and_has_no_columns_that_make_it_a_pair():
    found = responses(kept(0, chosen_cut=True, chosen_keep=2, chosen="go"))
    row = next(judged(found, ScoreTable(found), 1.0, 0.0, structured=False)).row
    assert row == {
        "prompt": [{"role": "user", "content": "question 0"}],
        "completion": [{"role": "assistant", "content": "go"}],
        "label": True,
        "pair_id": found[0].named["pair_id"],
        "source": "one",
        "score": 1.5,
        "completion_cut": True,
        "completion_finished": True,
    }


def test_a_response_of_several_pairs_is_written_once():
    rows = [kept(0), {**kept(0), "rejected": "worse", "rejected_full": "worse", "reward_rejected": -1.0}]
    found = responses(*rows)
    assert labels(found, 1.0) == [True, False, "repeated", False]
    assert len(ScoreTable(found).scores) == 3


def test_the_same_words_to_another_prompt_or_with_tools_are_another_response():
    found = responses(kept(0), kept(1), kept(0, structure=structure(tools=TOOLS)))
    assert labels(found, 1.0, structured=True) == [True, False] * 3


def test_scores_of_one_response_in_several_pairs_are_averaged_and_counted():
    found = responses(kept(0, reward_chosen=1.0), kept(0, reward_chosen=3.0))
    table = ScoreTable(found)
    assert table.score(found[0]) == 2.0
    assert table.several == 1
    assert table.of_side("chosen").tolist() == [1.0, 3.0]


def test_a_response_that_lacks_its_score_in_one_pair_has_it_of_the_other():
    found = responses(kept(0, reward_chosen=None), kept(0))
    assert labels(found, 1.0) == [True, False, "repeated", "repeated"]


def test_a_response_without_a_score_is_left_out():
    assert labels(responses(kept(0, reward_chosen=None)), 0.0) == ["no_score", True]


def test_what_is_within_the_margin_is_left_out_and_its_edge_is_not():
    found = responses(
        kept(0, reward_chosen=2.0, reward_rejected=1.25), kept(1, reward_chosen=0.75, reward_rejected=0.0)
    )
    assert labels(found, 1.0, margin=0.5) == [True, "near_threshold", "near_threshold", False]
    assert labels(found, 1.0, margin=0.25) == [True, True, False, False]


def test_a_response_cut_in_its_reasoning_is_left_out_and_the_other_side_stays():
    torn = kept(0, chosen_cut=True, chosen_keep=2, structure=structure(chosen={"reasoning_content": "hm"}))
    found = responses(torn)
    assert labels(found, 0.0, structured=True) == ["cut_structure", True]
    assert ScoreTable(found).scores.tolist() == [0.5]


def test_sources_with_scores_are_told():
    assert ScoreTable(responses(kept(0), kept(1, source="two"))).sources == {"one", "two"}
