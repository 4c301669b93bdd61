"""MT-bench: which of both turns a pair is of, and whose judgement it is. Rows are written for these tests."""

import orjson
import pytest
from pydantic import TypeAdapter
from sources_support import ASKED, QUESTION, adapt, chat, only_pair

from transforms.errors import RowError, SourceError
from transforms.preparation.dedupe import mark_repeats
from transforms.sources.canonical import Message
from transforms.sources.kinds import SOURCES, Source
from transforms.sources.load import load_batches
from transforms.sources.rows import Fields

NEXT = "Which is the longest?"
JUDGED = {
    "question_id": 81, "model_a": "m-1", "model_b": "m-2", "winner": "model_b", "judge": "expert_21", "turn": 1,
    "conversation_a": chat(QUESTION, "Nile.", NEXT, "That one."),
    "conversation_b": chat(QUESTION, "Nile, Po.", NEXT, "The Nile."),
}  # fmt: skip
SWAPPED = {
    **JUDGED, "model_a": "m-2", "model_b": "m-1", "conversation_a": JUDGED["conversation_b"],
    "conversation_b": JUDGED["conversation_a"],
}  # fmt: skip


def load(path, rows, **options):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    parsed = TypeAdapter(Source).validate_python({"kind": "mt_bench", "path": str(path), **options})
    return list(load_batches(parsed))


def test_a_judgement_of_turn_1_is_a_pair_of_the_first_answers_alone():
    pair = only_pair("mt_bench", JUDGED)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Nile, Po.", "Nile.")
    assert (pair.reason, pair.chosen_score, pair.rejected_score) == (None, None, None)
    assert (pair.source_id, pair.subset) == ("81/m-1/m-2/1/expert_21", "expert")


def test_a_judgement_of_turn_2_behind_other_first_answers_is_dropped_and_shows_where_the_sides_part():
    pair = only_pair("mt_bench", {**JUDGED, "turn": 2})
    assert (pair.prompt, pair.chosen, pair.rejected, pair.reason) == (ASKED, "Nile, Po.", "Nile.", "several_turns")


def test_a_judgement_of_turn_2_behind_equal_first_answers_is_a_pair_of_the_second_ones():
    row = {**JUDGED, "turn": 2, "conversation_a": chat(QUESTION, "Nile, Po.", NEXT, "That one.")}
    pair = only_pair("mt_bench", row)
    assert pair.prompt == (*ASKED, Message("assistant", "Nile, Po."), Message("user", NEXT))
    assert (pair.chosen, pair.rejected, pair.reason) == ("The Nile.", "That one.", None)


def test_second_turns_that_differ_in_their_questions_do_not_matter_to_a_judgement_of_turn_1():
    row = {**JUDGED, "conversation_a": chat(QUESTION, "Nile.")}
    assert only_pair("mt_bench", row).ids == only_pair("mt_bench", JUDGED).ids


@pytest.mark.parametrize(
    ("winner", "reason"), [("tie", "tie"), ("tie (inconsistent)", "inconsistent_judge"), ("tie (bothbad)", "both_bad")]
)
@pytest.mark.parametrize("turn", [1, 2])
def test_a_judgement_for_nobody_is_dropped_by_its_name(winner, reason, turn):
    pair = only_pair("mt_bench", {**JUDGED, "winner": winner, "turn": turn})
    assert (pair.chosen, pair.rejected, pair.reason) == ("Nile.", "Nile, Po.", reason)


@pytest.mark.parametrize(
    ("judge", "who", "named"),
    [
        ("expert_21", "expert", "expert_21"),
        ("author_2", "author", "author_2"),
        ("gpt4_pair", "gpt4", "gpt4_pair"),
        (["gpt-4", "pair-v2"], "gpt4", "gpt-4_pair-v2"),
    ],
)
def test_judges_are_told_apart(judge, who, named):
    row = {**JUDGED, "judge": judge}
    pair = only_pair("mt_bench", row)
    assert (pair.subset, pair.source_id, pair.reason) == (who, f"81/m-1/m-2/1/{named}", None)
    kept = {
        name
        for name in ("all", "human", "expert", "author", "gpt4")
        if only_pair("mt_bench", row, judge=name).reason is None
    }
    assert kept == {"all", who} | ({"human"} if who != "gpt4" else set())
    assert only_pair("mt_bench", row, judge="author" if who != "author" else "gpt4").reason == "excluded"


def test_several_judges_of_one_pair_are_votes_whichever_side_each_saw_first(tmp_path):
    rows = [
        JUDGED,
        {**SWAPPED, "winner": "model_a", "judge": "expert_3"},
        {**JUDGED, "winner": "model_a", "judge": "author_1"},
    ]
    (batch,) = load(tmp_path / "x.jsonl", rows)
    kept = mark_repeats(batch.pairs, order={}, caps={}, contradictions="majority")
    assert (kept.disputes, kept.disputed) == (1, 3)
    found = sorted(zip(kept.pairs["chosen"].to_pylist(), map(str, kept.pairs["reason"].to_pylist()), strict=True))
    assert found == [("Nile, Po.", "None"), ("Nile, Po.", "duplicate"), ("Nile.", "contradiction")]


def test_the_usual_split_is_the_humans():
    assert TypeAdapter(Source).validate_python({"kind": "mt_bench", "path": "a/b"}).split == "human"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"winner": "m-1"}, "winner is the text 'm-1', expected one of model_a, model_b, tie"),
        ({"judge": "bard"}, "judge is the text 'bard', expected expert_N, author_N or gpt4_pair"),
        ({"judge": None}, "judge is null, expected expert_N"),
        ({"judge": []}, "judge is list, expected expert_N"),
        ({"turn": None}, "turn is null, expected 1 or 2: the turn that was judged"),
        ({"turn": 0}, "turn is 0, expected 1 or 2"),
        ({"turn": 1.5}, "turn is 1.5, expected 1 or 2"),
        ({"turn": float("nan")}, "turn is nan, expected 1 or 2"),
        ({"turn": float("inf")}, "turn is inf, expected 1 or 2"),
        ({"turn": True}, "turn is True, expected a number"),
        ({"turn": 3}, "conversation_a has 2 answers, expected at least 3: turn is 3"),
        ({"conversation_b": chat("Another?", "Nile.")}, "the sides were not asked the same: 1 questions in 2 messages"),
        ({"conversation_b": None}, "conversation_b is null, expected a list of messages"),
    ],
)
def test_a_row_that_is_no_judgement_of_two_answers_is_refused(change, message):
    with pytest.raises(RowError, match=message):
        adapt("mt_bench", {**JUDGED, **change})


def test_everything_in_the_published_layout_is_read_and_what_else_there_is_is_named():
    row = Fields({**JUDGED, "tstamp": 1.0})
    adapt("mt_bench", row)
    assert list(row.unread_names()) == ["tstamp"]


@pytest.mark.parametrize("row", [JUDGED, {**JUDGED, "judge": ["gpt-4", "pair-v2"], "language": "English", "tstamp": 1}])
def test_a_judgement_looks_like_one_and_like_no_other_kind(row):
    assert [name for name, kind in SOURCES.items() if kind.looks_like(row)] == ["mt_bench"]


def test_a_file_of_it_read_as_battles_is_refused_with_the_kind_that_it_is(tmp_path):
    with pytest.raises(SourceError, match=r"is not of kind arena: its columns hold something else; .* kind mt_bench"):
        load(tmp_path / "x.jsonl", [JUDGED], kind="arena")
