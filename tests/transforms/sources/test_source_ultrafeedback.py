"""UltraFeedback: which of its completions become pairs. Rows are written for these tests."""

import copy

import pytest
from sources_support import QUESTION, adapt, only_pair, sides

from transforms.errors import RowError
from transforms.sources.kinds.ultrafeedback import DOUBTFUL_NOTE, NOT_RATED_NOTE
from transforms.sources.rows import Fields


def completion(text, overall, *ratings):
    aspects = ("helpfulness", "honesty", "instruction_following", "truthfulness")
    annotations = {name: {"Rating": rating} for name, rating in zip(aspects, ratings, strict=True)}
    return {"model": f"m-{text}", "response": text, "overall_score": overall, "annotations": annotations}


ULTRA = {
    "source": "evol_instruct",
    "instruction": QUESTION,
    "completions": [
        completion("bad", 2.0, "1", "1", "1", "1"),
        completion("best", 9.0, "5", "N/A", "5", "5"),
        completion("fair", 5.0, "3", "4", "3", "3"),
        completion("good", 7.0, "4", "3", "4", "5"),
    ],
}


def test_ultrafeedback_best_vs_worst_uses_the_overall_score_where_asked():
    found = adapt("ultrafeedback", ULTRA, pairing="best_vs_worst", score="overall")
    assert sides(found) == [("best", "bad", 9.0, 2.0)]


def test_ultrafeedback_takes_the_mean_of_the_aspects_by_default():
    # "best" has an N/A and so no mean: (4 + 3 + 4 + 5) / 4 is the highest that there is.
    assert sides(adapt("ultrafeedback", ULTRA, pairing="best_vs_worst")) == [("good", "bad", 4.0, 1.0)]


@pytest.mark.parametrize(
    ("ratings", "best"),
    [("1112", "fair"), ("2222", "fair"), ("4444", "fair"), ("5544", "doubtful"), ("555N", "fair")],
    ids=["means 1", "means 1 too", "asked again", "a good one", "nobody knows"],
)
def test_ultrafeedback_an_overall_score_of_ten_counts_only_where_the_aspects_agree(ratings, best):
    doubtful = completion("doubtful", 10.0, *("N/A" if one == "N" else one for one in ratings))
    bad, _, fair, _ = ULTRA["completions"]
    row = Fields({**ULTRA, "completions": [doubtful, fair, bad]})
    found = adapt("ultrafeedback", row, pairing="best_vs_worst", score="overall")
    assert [pair.chosen for pair in found.pairs] == [best]
    assert row.notes() == ({} if best == "doubtful" else {DOUBTFUL_NOTE: 1})


def test_ultrafeedback_all_pairs_are_every_two_with_the_better_one_chosen():
    found = [
        (pair.chosen, pair.rejected)
        for pair in adapt("ultrafeedback", ULTRA, pairing="all_pairs", score="overall").pairs
    ]
    assert found == [
        ("best", "good"), ("best", "fair"), ("best", "bad"),
        ("good", "fair"), ("good", "bad"), ("fair", "bad"),
    ]  # fmt: skip


def test_ultrafeedback_one_aspect_leaves_out_what_is_not_rated_in_it():
    # "best" has N/A in honesty: it must count neither as 0 nor as -1
    assert sides(adapt("ultrafeedback", ULTRA, pairing="best_vs_worst", score="honesty")) == [("fair", "bad", 4.0, 1.0)]


def test_ultrafeedback_mean_needs_all_four_ratings():
    assert sides(adapt("ultrafeedback", ULTRA, pairing="best_vs_worst", score="mean")) == [("good", "bad", 4.0, 1.0)]


@pytest.mark.parametrize("annotations", [None, "5", {}, {"honesty": None}, {"honesty": {"Rating": None}}])
def test_ultrafeedback_without_annotations_has_no_score(annotations):
    broken = {"model": "m", "response": "none", "annotations": annotations}
    row = {**ULTRA, "completions": [*ULTRA["completions"], broken]}
    assert adapt("ultrafeedback", row, score="honesty").responses[-1].score is None


def test_ultrafeedback_random_choice_is_content_and_not_order():
    shuffled = {**ULTRA, "completions": ULTRA["completions"][::-1]}
    assert sides(adapt("ultrafeedback", ULTRA)) == sides(adapt("ultrafeedback", shuffled))


def test_ultrafeedback_random_choice_takes_every_rank_about_equally():
    rows = [{**ULTRA, "instruction": f"Question {number}"} for number in range(600)]
    picks = [only_pair("ultrafeedback", row, score="overall").rejected for row in rows]
    assert all(abs(picks.count(text) - 200) < 45 for text in ("bad", "fair", "good"))


def test_ultrafeedback_ties_for_the_best_are_broken_by_content():
    row = copy.deepcopy(ULTRA)
    row["completions"][3]["overall_score"] = 9.0
    turned = {**row, "completions": row["completions"][::-1]}
    found, of_turned = (adapt("ultrafeedback", one, score="overall") for one in (row, turned))
    assert sides(found) == sides(of_turned)


def test_ultrafeedback_keeps_all_completions_as_responses():
    found = adapt("ultrafeedback", ULTRA, score="honesty").responses
    assert [(one.index, one.text, one.model, one.score) for one in found] == [
        (0, "bad", "m-bad", 1.0), (1, "best", "m-best", None),
        (2, "fair", "m-fair", 4.0), (3, "good", "m-good", 3.0),
    ]  # fmt: skip


def test_ultrafeedback_without_two_usable_completions_is_refused():
    row = {**ULTRA, "completions": [completion("one", 3.0, *"1111"), completion(" ", 4.0, *"1111")]}
    with pytest.raises(RowError, match="1 of 2 completions have text and a score for mean"):
        adapt("ultrafeedback", row)


def test_ultrafeedback_marks_an_excluded_benchmark():
    assert only_pair("ultrafeedback", ULTRA, exclude=["evol_instruct"]).reason == "excluded"


def test_a_rating_that_does_not_apply_is_counted_and_one_that_is_no_number_refused():
    row = Fields(ULTRA | {"completions": [
        completion("a", 9.0, "5", "n/a ", "5", "5"), completion("b", 8.0, "4", "4", "4", "4"),
        completion("c", 7.0, "3", "3", "3", "3"),
    ]})  # fmt: skip
    assert only_pair("ultrafeedback", row).chosen == "b"
    assert row.notes() == {NOT_RATED_NOTE: 1}
    bad = completion("a", 9.0, "4,5", "5", "5", "5")
    with pytest.raises(RowError, match="the rating of helpfulness is the text '4,5', expected a number"):
        adapt("ultrafeedback", ULTRA | {"completions": [bad, completion("b", 8.0, "4", "4", "4", "4")]})
