"""Verdicts of chat benchmarks: rates as their own tools compute them, worked by hand, and counts that add up."""

import json

import pytest

from transforms.errors import ConfigError, SourceError
from transforms.evaluation.annotated import Asked, read_judged
from transforms.evaluation.arena_hard import battles, read_arena_hard
from transforms.evaluation.mt_bench import read_mt_bench

Z2 = 3.841458820694124  # of 95 %, squared


def arena(uid, first, second, category="hard_prompt", **changes):
    games = [None if score == "nothing" else {"score": score, "judgment": {"answer": "…"}} for score in (first, second)]
    row = {"uid": uid, "category": category, "judge": "gpt-4.1", "model": "mine", "baseline": "o3-mini", "games": games}
    return row | changes


def rating(question, turn, score, **changes):
    row = {
        "question_id": question,
        "model": "mine",
        "judge": ["gpt-4", f"single-v{turn}"],
        "score": score,
        "turn": turn,
    }
    return row | changes


def judged(tmp_path, *rows):
    path = tmp_path / "verdicts.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return read_judged(str(path))


def numbers(score):
    found = score.counts
    assert found.lines == found.judged + found.no_verdict + found.doubled
    return (found.lines, found.judged, found.no_verdict, found.doubled, found.missing)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("A>B", "A>B", (1.0, 0.0)),  # A is the baseline first, the model second
        ("B>A", "B>A", (0.0, 1.0)),
        ("A=B", "B=A", (0.5, 0.5)),
        ("B>>A", "A>B", (1.0, 1.0, 1.0, 1.0)),
        ("A>>B", "A>B", (1.0, 0.0, 0.0, 0.0)),
        ("A<<B", "B<<A", (1.0,) * 6),
        ("B<A", "A<B", (0.0, 0.0)),
        ("A=B", "B>>A", (0.0, 0.0, 0.0, 0.5)),
        ("nothing", "A>B", ()),
        ("A>B", None, ()),
    ],
)
def test_a_verdict_is_a_battle_and_one_by_far_is_three(first, second, expected):
    assert battles(arena("a", first, second)["games"], "line 1") == expected


def test_an_arena_hard_rate_is_the_mean_over_battles_by_category(tmp_path):
    file = judged(
        tmp_path,
        arena("a", "A>>B", "A>B"),  # 0 0 0, 1
        arena("b", "A=B", "A>B"),  # ½, 1
        arena("c", None, "A>B"),
        arena("d", "B>A", "A>B", "creative_writing", baseline="gemini"),
    )
    found = read_arena_hard(file, None, None)
    assert (found.benchmark, found.model, found.judge, found.others) == ("Arena-Hard v2", "mine", "gpt-4.1", 0)
    hard, creative = found.scores
    assert (hard.of, hard.baseline, hard.unit, hard.verdicts) == ("hard_prompt", "o3-mini", "win_rate", 6)
    assert hard.value == pytest.approx(2.5 / 6)
    assert numbers(hard) == (3, 2, 1, 0, None)
    assert (creative.of, creative.baseline, creative.value) == ("creative_writing", "gemini", 1.0)
    assert hard.low < hard.value < hard.high


def test_the_interval_is_over_instructions_and_not_over_their_battles(tmp_path):
    found = read_arena_hard(judged(tmp_path, *[arena(uid, "B>A", "A>B") for uid in "abcd"]), None, None)
    [score] = found.scores
    # Wilson's of four of four: 4 / (4 + z²); of eight battles it would begin at 0.68
    assert (score.value, score.low, score.high) == pytest.approx((1.0, 4 / (4 + Z2), 1.0))


def test_a_line_that_is_there_twice_counts_twice_as_in_the_benchmarks_own_tool(tmp_path):
    rows = [arena("a", "B>A", "A>B"), arena("a", "B>A", "A>B"), arena("b", "A>B", "B>A"), arena("b", None, None)]
    [score] = read_arena_hard(judged(tmp_path, *rows), None, None).scores
    assert score.value == pytest.approx(4 / 6)
    assert numbers(score) == (4, 2, 0, 2, None)


def test_what_was_not_judged_is_known_from_the_benchmarks_questions(tmp_path):
    asked = [Asked("a", category="hard_prompt"), Asked("b", category="hard_prompt"), Asked("c", category="creative")]
    found = read_arena_hard(judged(tmp_path, arena("a", "A=B", "A=B")), None, asked)
    assert [(score.of, score.value, score.baseline) for score in found.scores] == [
        ("hard_prompt", 0.5, "o3-mini"),
        ("creative", None, None),
    ]
    assert [numbers(score) for score in found.scores] == [(1, 1, 0, 0, 1), (0, 0, 0, 0, 1)]


def test_mt_bench_means_are_by_turn_and_over_all_ratings(tmp_path):
    file = judged(
        tmp_path,
        rating(81, 1, 9),
        rating(82, 1, 5),
        rating(81, 2, 7),
        rating(82, 2, 7),
        rating(83, 1, -1),
        rating(81, 1, 1, model="other"),
    )
    found = read_mt_bench(file, "mine", [Asked("81", 2), Asked("82", 2), Asked("83", 2), Asked("84", 1)])
    assert (found.benchmark, found.judge, found.others) == ("MT-Bench", "gpt-4", 1)
    assert [(score.of, score.value, score.unit, score.verdicts) for score in found.scores] == [
        ("first turn", 7.0, "score", 2),
        ("second turn", 7.0, "score", 2),
        ("both turns", 7.0, "score", 4),
    ]
    assert [numbers(score) for score in found.scores] == [(3, 2, 1, 0, 1), (2, 2, 0, 0, 1), (5, 4, 1, 0, 2)]
    assert [(score.low, score.high) for score in found.scores[1:]] == [
        (7.0, 7.0),
        (1.0, 10.0),
    ]  # no more than the scale


def test_both_turns_of_a_question_are_one_cluster(tmp_path):
    rows = [rating(number, turn, score) for number, score in ((81, 6), (82, 5), (83, 4)) for turn in (1, 2)]
    both = read_mt_bench(judged(tmp_path, *rows), None, None).scores[2]
    # Without a question the mean is off by 2/4, 0 and −2/4: variance ⅔ · ½ = ⅓; t of 2 degrees of freedom is 4.3027.
    assert (both.value, both.low, both.high) == pytest.approx((5.0, 5 - 4.3026527 / 3**0.5, 5 + 4.3026527 / 3**0.5))
    outside = read_mt_bench(judged(tmp_path, rating(81, 1, 0), rating(82, 1, 2)), None, None).scores[0]
    assert outside.low == pytest.approx(1 - 12.7062047)  # a rating beyond the scale: nothing is known of its ends


def test_a_question_that_was_rated_again_counts_twice_and_null_is_no_rating(tmp_path):
    found = read_mt_bench(judged(tmp_path, rating(81, 1, 9), rating(81, 1, 6), rating(82, 1, None)), None, None)
    first, second, both = found.scores
    assert (first.value, first.low, numbers(first)) == (7.5, None, (3, 1, 1, 1, None))
    assert (second.value, numbers(second)) == (None, (0, 0, 0, 0, None))
    assert (both.value, numbers(both)) == (7.5, (3, 1, 1, 1, None))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([arena("a", "A>B", "A?B")], r"line 1: a score is the text 'A\?B', expected null or one of A>>B"),
        ([arena("a", "A>B", ["A>B"])], r"line 1: a score is list, expected null or one of"),
        ([arena("a", "A>B", "A>B", games=[{"score": "A>B"}])], r"line 1: games is list, expected two"),
        ([arena("a", "A>B", "A>B", games=None)], r"line 1: games is null, expected two"),
        ([arena("a", "A>B", "A>B"), arena("b", "A>B", "A>B", baseline="x")], r"line 2: the baseline of hard_prompt is"),
        ([arena("a", "A>B", "A>B"), arena("b", "A>B", "A>B", judge="x")], r"line 2: the judge is another than"),
        ([arena(True, "A>B", "A>B")], r"line 1: uid is True, expected an id"),
        ([arena("a", "A>B", "A>B", category=None)], r"line 1: category is null, expected text"),
        ([{"question_id": 81, "games": []}], r"line 1: model is not there, expected text"),
        ([arena("a", "A>B", "A>B"), '{"uid": "b", "ga'], r"line 2: not a JSON object.*was the judge's run cut short"),
        ([], r"holds no verdict"),
    ],
)
def test_another_layout_of_arena_hard_is_told_by_its_line(tmp_path, rows, message):
    with pytest.raises(SourceError, match=message):
        read_arena_hard(judged(tmp_path, *rows), None, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (rating(81, 3, 9), r"line 1: turn is 3, expected 1 or 2"),
        (rating(81, True, 9), r"line 1: turn is True"),
        (rating(81, 1, "9"), r"line 1: score is the text '9', expected a rating, or -1 for none"),
        (rating(81, 1, 9, judge=[]), r"line 1: judge is list, expected a list: the judge"),
        ({"question_id": 81, "model": "mine", "judge": ["gpt-4", "x"], "turn": 1}, r"line 1: score is null, expected"),
    ],
)
def test_another_layout_of_mt_bench_is_told_by_its_line(tmp_path, row, message):
    with pytest.raises(SourceError, match=message):
        read_mt_bench(judged(tmp_path, row), None, None)


def test_of_several_models_one_has_to_be_named(tmp_path):
    file = judged(tmp_path, rating(81, 1, 9), rating(81, 1, 3, model="\u202eother"))
    with pytest.raises(ConfigError, match=r"verdicts on 2 models \(mine, \[U\+202E\]other\); name one as `model`"):
        read_mt_bench(file, None, None)
    with pytest.raises(ConfigError, match=r"has no verdict on 'ours'; it has mine"):
        read_mt_bench(file, "ours", None)


def test_verdicts_on_other_questions_than_the_benchmarks_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"verdicts on 1 instructions that `questions` does not have \(81, turn 2\)"):
        read_mt_bench(judged(tmp_path, rating(81, 1, 9), rating(81, 2, 9)), None, [Asked("81", 1)])
    with pytest.raises(SourceError, match=r"verdicts on 1 instructions that `questions` does not have \(b\)"):
        read_arena_hard(judged(tmp_path, arena("b", "A=B", "A=B")), None, [Asked("b", category="creative_writing")])
