"""What distilabel's pipelines write becomes the pairs that it means. Rows are written for these tests."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from sources_support import ASKED, QUESTION, adapt, chat, only_pair, sides

from transforms.errors import RowError
from transforms.sources.canonical import Message, validate
from transforms.sources.kinds import SOURCES
from transforms.sources.kinds.distilabel import NO_RATING, NO_TEXT
from transforms.sources.load import load_batches
from transforms.sources.pages import parsed_rows
from transforms.sources.rows import Fields

KIND = "distilabel"
RATED = {
    "instruction": QUESTION, "generations": ["fair", "best", "bad", "good"], "ratings": [3, 5, 1, 4],
    "generation_models": ["m0", "m1", "m2", "m3"], "rationales": ["a", "b", "c", "d"], "model_name": "judge",
}  # fmt: skip
FORMATTED = RATED | {
    "prompt": QUESTION, "prompt_id": "p9", "chosen": chat(QUESTION, "best"), "rejected": chat(QUESTION, "bad"),
    "chosen_rating": 5, "rejected_rating": 1, "chosen_model": "m1", "rejected_model": "m2",
}  # fmt: skip
RANKED = {"input": QUESTION, "candidates": ["a", "b", "c"], "ranks": [2, 3, 1], "ranked_candidates": ["b", "c", "a"]}


def refused(message, row, **options):
    with pytest.raises(RowError, match=message):
        for pair in adapt(KIND, row, **options).pairs:
            validate(pair)


def test_generations_without_a_pair_are_paired_best_against_worst_as_its_formatters_do():
    found = adapt(KIND, RATED)
    assert sides(found) == [("best", "bad", 5.0, 1.0)]
    assert found.pairs[0].prompt == found.prompt == ASKED
    assert (found.pairs[0].reason, found.pairs[0].chosen_finished) == (None, True)


def test_all_generations_are_responses_with_their_ratings_and_models():
    for row, options in ((RATED, {}), (FORMATTED, {}), (RATED, {"pairing": "all_pairs"})):
        assert [(one.index, one.text, one.model, one.score) for one in adapt(KIND, row, **options).responses] == [
            (0, "fair", "m0", 3.0), (1, "best", "m1", 5.0), (2, "bad", "m2", 1.0), (3, "good", "m3", 4.0),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        ("given", [("best", "bad")]),
        ("best_vs_worst", [("best", "bad")]),
        ("all_pairs", [("best", "good"), ("best", "fair"), ("best", "bad"), ("good", "fair"), ("good", "bad"),
                       ("fair", "bad")]),
    ],
)  # fmt: skip
def test_pairing_says_which_generations_meet(pairing, expected):
    assert [pair[:2] for pair in sides(adapt(KIND, RATED, pairing=pairing))] == expected


def test_the_random_one_of_a_pair_does_not_depend_on_the_order_of_generations():
    turned = RATED | {"generations": RATED["generations"][::-1], "ratings": RATED["ratings"][::-1]}
    found = sides(adapt(KIND, RATED, pairing="best_vs_random"))
    assert found == sides(adapt(KIND, turned, pairing="best_vs_random"))
    assert found[0][0] == "best"


def test_a_pair_that_the_pipeline_made_is_taken_as_it_is_unless_generations_are_asked_for():
    other = FORMATTED | {"rejected": chat(QUESTION, "good"), "rejected_rating": 4}
    assert sides(adapt(KIND, other)) == [("best", "good", 5.0, 4.0)]
    assert sides(adapt(KIND, other, pairing="best_vs_worst")) == [("best", "bad", 5.0, 1.0)]
    assert only_pair(KIND, other).source_id == "p9"


def test_of_a_conversation_the_prompt_column_is_only_its_first_question():
    before = ("Hi.", "Hello!", QUESTION)
    row = {"prompt": "Hi.", "prompt_id": "p1", "chosen": chat(*before, "a"), "rejected": chat(*before, "b")}
    row |= {"messages": chat(*before), "generations": ["b", "a"], "ratings": [1, 2]}
    expected = (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    for options in ({}, {"pairing": "best_vs_worst"}):
        fields = Fields(row)
        (pair,) = adapt(KIND, fields, **options).pairs
        assert (pair.prompt, pair.chosen, pair.rejected) == (expected, "a", "b")
        assert ("messages" in fields.unread_names(), "prompt" in fields.unread_names()) == (False, bool(options))


def test_a_system_prompt_is_the_first_turn_in_either_way_and_not_twice():
    system = [{"role": "system", "content": "Be brief."}]
    row = FORMATTED | {"chosen": system + FORMATTED["chosen"], "rejected": system + FORMATTED["rejected"]}
    for one in (row | {"system_prompt": "Be brief."}, RATED | {"system_prompt": "Be brief."}):
        assert only_pair(KIND, one).prompt == (Message("system", "Be brief."), *ASKED)


def test_a_null_rating_or_generation_is_no_candidate_and_is_counted():
    row = Fields(RATED | {"generations": ["fair", None, "bad", " "], "ratings": [3, 5, None, 4]})
    refused("1 generations have text and a rating, expected at least two", row)
    row = Fields(RATED | {"generations": ["fair", None, "bad", "good"], "ratings": [3, 5, None, 4]})
    found = adapt(KIND, row)
    assert sides(found) == [("good", "fair", 4.0, 3.0)]
    assert [(one.index, one.text, one.score) for one in found.responses] == [
        (0, "fair", 3.0), (2, "bad", None), (3, "good", 4.0),
    ]  # fmt: skip
    assert row.notes() == {NO_TEXT: 1, NO_RATING: 1}


def test_ranks_are_scores_the_other_way_round_and_ranked_candidates_are_not_read():
    # `ranked_candidates` is in the order b, c, a: distilabel takes ranks for positions. By its ranks c is the best.
    row = Fields(RANKED | {"model_name": "llm-blender/PairRM"})
    assert sides(adapt(KIND, row)) == [("c", "b", -1.0, -3.0)]
    assert sorted(row.unread_names()) == ["model_name", "ranked_candidates"]


@pytest.mark.parametrize(("result", "better", "worse"), [("A", "a", "b"), ("B", "b", "a")])
def test_the_better_of_two_by_prometheus(result, better, worse):
    row = {"instruction": QUESTION, "generations": ["a", "b"], "feedback": "…", "result": result}
    assert sides(adapt(KIND, row)) == [(better, worse, 1.0, 0.0)]


def test_the_old_names_of_its_columns_are_read():
    row = {
        "input": QUESTION, "generation_model": ["x", "y"], "generations": ["a", "b"], "labelling_model": "judge",
        "rating": [1.0, 2.0], "rationale": ["…", "…"],
    }  # fmt: skip
    found = adapt(KIND, row)
    assert sides(found) == [("b", "a", 2.0, 1.0)]
    assert [one.model for one in found.responses] == ["x", "y"]


def test_grouped_columns_and_the_scores_of_a_quality_scorer_are_read():
    grouped = {"instruction": QUESTION, "grouped_generation": ["a", "b"], "grouped_model_name": ["x", "y"]}
    found = adapt(KIND, grouped | {"ratings": [1, 2]})
    assert (sides(found), found.responses[0].model) == ([("b", "a", 2.0, 1.0)], "x")
    scored = {"instruction": QUESTION, "responses": ["a", "b"], "scores": [2, 1]}
    assert sides(adapt(KIND, scored)) == [("a", "b", 2.0, 1.0)]


def test_columns_that_a_pipeline_renamed_are_named_in_the_recipe():
    row = {
        "instruction": "not this one", "question": QUESTION, "answers": ["a", "b"], "ratings": [9, 1],
        "honesty": ["1", "2"], "who": ["x", "y"],
    }  # fmt: skip
    names = {"prompt": "question", "generations": "answers", "ratings": "honesty", "models": "who"}
    fields = Fields(row)
    found = adapt(KIND, fields, **names)
    assert (found.prompt, sides(found), found.responses[1].model) == (ASKED, [("b", "a", 2.0, 1.0)], "y")
    assert sorted(fields.unread_names()) == ["instruction", "ratings"]


def test_math_preferences_have_their_sides_as_text_and_no_generations():
    row = {"instruction": QUESTION, "chosen_response": "a", "rejected_response": "b", "chosen_rating": 9.0}
    row |= {"rejected_rating": 7.0, "metadata": "{}"}
    pair = only_pair(KIND, row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "a", "b")
    assert (pair.chosen_score, pair.rejected_score) == (9.0, 7.0)
    refused("no generations or .* to pair; the row has its own pair: set pairing: given", row, pairing="all_pairs")


def test_capybara_takes_the_conversation_of_its_sides():
    before = ("Hi.", "Hello!", QUESTION)
    row = {
        "source": "Dove", "conversation": [{"input": "Hi.", "output": "Hello!"}, {"input": QUESTION, "output": None}],
        "original_response": "a", "prompt": "### whatever", "new_generations": ["b", "c"],
        "chosen": chat(*before, "a"), "rejected": chat(*before, "b"), "rating_chosen": 5, "rating_rejected": 4,
        "chosen_model": "gpt-4", "rejected_model": "m",
    }  # fmt: skip
    fields = Fields(row)
    (pair,) = adapt(KIND, fields).pairs
    assert pair.prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    assert (pair.chosen, pair.rejected, pair.chosen_score, pair.rejected_score) == ("a", "b", 5.0, 4.0)
    assert sorted(fields.unread_names()) == [
        "chosen_model", "conversation", "new_generations", "original_response", "prompt", "rejected_model", "source",
    ]  # fmt: skip


def test_magpie_ultra_pairs_the_chat_model_and_the_base_model_by_their_scores():
    row = {"instruction": QUESTION, "response": "a", "response_base": "b", "score": 0.25, "score_base": 0.5}
    row |= {"model_name_response_base": "base", "embedding": [0.5], "difficulty": "easy"}
    fields = Fields(row)
    found = adapt(KIND, fields)
    assert sides(found) == [("b", "a", 0.5, 0.25)]
    assert [(one.text, one.model, one.score) for one in found.responses] == [("a", None, 0.25), ("b", "base", 0.5)]
    assert sorted(fields.unread_names()) == ["difficulty", "embedding"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": [1, 2]}, "2 ratings for 4 generations, expected equally many"),
        ({"generation_models": ["m"]}, "1 generation_models for 4 generations, expected equally many"),
        ({"ratings": None}, "0 generations have text and a rating, expected at least two"),
        ({"ratings": [1, "N/A", 3, 4]}, r"ratings\[1\] is the text 'N/A', expected a number"),
        ({"ratings": [1, float("nan"), 3, 4]}, r"ratings\[1\] is nan, expected a finite number or none"),
        ({"generations": ["a", ["b"], "c", "d"]}, "generation 1 is list, expected text or null"),
        ({"generations": "a"}, "generations is the text 'a', expected a list"),
        ({"generations": None}, "generations is null, expected a list"),
        ({"instruction": None}, r"instruction and messages and input and prompt hold no prompt; name its column"),
        ({"instruction": "  "}, "prompt turn 0 .user. is whitespace only"),
        ({"generations": ["a", "a", "b", "b"], "ratings": [2, 1, None, None]}, "are the same text"),
    ],
)
def test_rows_that_are_not_whole_are_refused(change, message):
    refused(message, RATED | change)


def test_a_result_that_is_neither_of_two_is_refused():
    refused("result is 4, expected A or B", {"instruction": QUESTION, "generations": ["a", "b"], "result": 4})
    refused("0 generations have text", {"instruction": QUESTION, "generations": ["a", "b"], "result": None})


def test_a_row_of_nothing_is_refused_with_advice():
    message = "no generations or .* to pair; the row has no chosen and rejected either, or name the column"
    refused(message, {"instruction": QUESTION, "generation": "a"})
    refused("answers is missing, expected a list", RATED, generations="answers")


def test_a_pairing_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="best_vs_random"):
        adapt(KIND, RATED, pairing="best")


# All ratings equal: max and min both take the first generation, and distilabel's formatter writes it on both sides.
def test_a_pair_of_one_text_with_itself_is_quarantined(tmp_path):
    rows = [FORMATTED, FORMATTED | {"rejected": FORMATTED["chosen"], "ratings": [4, 4, 4, 4]}]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    (batch,) = load_batches(SOURCES[KIND].options(kind=KIND, path=str(path)))
    assert batch.pairs.to_pydict()["chosen"] == ["best"]
    assert [line.error for line in batch.quarantined] == [
        "chosen and rejected are the same text; a pair needs two different responses"
    ]
    assert batch.columns.unread_values() == {
        "chosen_model": 2, "model_name": 2, "rationales": 2, "rejected_model": 2,
    }  # fmt: skip


def looks(row):
    return [name for name, kind in SOURCES.items() if kind.looks_like(row)]


@pytest.mark.parametrize("row", [*parsed_rows(SOURCES[KIND]), RATED, RANKED])
def test_its_rows_look_like_it(row):
    assert KIND in looks(row)
    assert KIND in looks(row | {"annotator": "x", "distilabel_metadata": {"raw_output": "…"}})
    # Where a pair is there already, kind preference reads it, too.
    assert set(looks(row)) <= {KIND, *(["preference"] if "chosen" in row else [])}


def test_no_row_of_another_kind_looks_like_it():
    others = [row for name, kind in SOURCES.items() if name != KIND for row in parsed_rows(kind)]
    cases = Path(__file__).parents[2] / "cases"
    others += [json.loads(line) for path in cases.glob("*.jsonl") for line in path.read_text().splitlines()]
    orca = {"system": "s", "input": "q", "chosen": "a", "rejected": "b", "generations": ["a", "b"], "rating": [2, 1]}
    assert [row for row in [*others, orca | {"order": ["chosen", "rejected"]}] if KIND in looks(row)] == []
