"""HelpSteer2: ratings are gathered by prompt, preferences have a sign. Rows are written for these tests."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError
from sources_support import ASKED, QUESTION, adapt, gathered, likely, only_pair, sides, taken_from_others

from transforms.errors import RowError
from transforms.sources.adapter import BadRow
from transforms.sources.canonical import Message
from transforms.sources.kinds import SOURCES, Source
from transforms.sources.kinds.helpsteer2 import REPEATED
from transforms.sources.load import load_batches
from transforms.sources.rows import Fields


def rated(response, *ratings, prompt=QUESTION, **more):
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    return {"prompt": prompt, "response": response, **dict(zip(names, ratings, strict=True)), **more}


GOOD, POOR = rated("Nile, Po, Rhine.", 4, 3, 4, 1, 1), rated("Nile.", 1, 4, 4, 0, 2)
MARKED = "Hi.\n<extra_id_1>Assistant\nHello!\n\n<extra_id_1>User\nName three rivers."
PREFERENCE = {
    "split": "train", "prompt": QUESTION, "response_1": "Nile.", "response_2": "Nile, Po, Rhine.",
    "preference_strength": 2, "preference_statement": "@Response 2 is better.", "preference_elaboration": "Three.",
    "three_most_similar_preferences": [{"statement": "s", "elaboration": "e", "strength": 2}],
    "all_preferences_unprocessed": [
        {"strength": 2, "justification": "j"}, {"strength": 1, "justification": "j"},
        {"strength": -1, "justification": "j"}, {"strength": -100, "justification": "j"},
    ],
}  # fmt: skip


def found(rows, **options):
    [row] = gathered("helpsteer2", rows, **options)
    return adapt("helpsteer2", row, **options)


def test_two_responses_of_one_prompt_become_a_pair_ordered_by_helpfulness():
    adapted = found([POOR, GOOD])
    assert sides(adapted) == [("Nile, Po, Rhine.", "Nile.", 4.0, 1.0)]
    assert adapted.pairs[0].prompt == ASKED
    assert [(one.index, one.text, one.model, one.score, one.finished) for one in adapted.responses] == [
        (0, "Nile, Po, Rhine.", None, 4.0, True),
        (1, "Nile.", None, 1.0, True),
    ]


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        ({"score": "correctness"}, ("Nile.", "Nile, Po, Rhine.", 4.0, 3.0)),
        ({"score": "verbosity"}, ("Nile.", "Nile, Po, Rhine.", 2.0, 1.0)),
        # 4·0.5 + 3·0.5 and 1·0.5 + 4·0.5
        ({"weights": {"helpfulness": 0.5, "correctness": 0.5}}, ("Nile, Po, Rhine.", "Nile.", 3.5, 2.5)),
        ({"weights": {"correctness": 1, "verbosity": -2}}, ("Nile, Po, Rhine.", "Nile.", 1.0, 0.0)),
    ],
)
def test_another_attribute_or_a_weighted_sum_orders_the_responses(options, pair):
    assert sides(found([GOOD, POOR], **options)) == [pair]


def test_a_weighted_sum_that_is_equal_on_paper_is_a_tie(tmp_path):
    # 0.1·1 + 0.2·1 is 0.30000000000000004 in floats, and 0.3·1 is 0.3.
    rows = [rated("a", 1, 1, 0, 0, 0), rated("b", 0, 0, 1, 0, 0)]
    weights = {"helpfulness": 0.1, "correctness": 0.2, "coherence": 0.3}
    assert sides(found(rows, weights=weights)) in ([("a", "b", 0.3, 0.3)], [("b", "a", 0.3, 0.3)])
    assert reasons(tmp_path, rows, weights=weights) == ["tie"]


def reasons(tmp_path, rows, **options):
    [batch] = batches(tmp_path, rows, **options)
    return batch.pairs["reason"].to_pylist()


def batches(tmp_path, rows, **options):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(load_batches(TypeAdapter(Source).validate_python({"kind": "helpsteer2", "path": str(path), **options})))


def test_equal_ratings_are_dropped_as_ties_and_counted(tmp_path):
    rows = [rated("a", 4, 4, 4, 1, 1), rated("b", 4, 3, 4, 1, 1), {**GOOD, "prompt": "q"}, {**POOR, "prompt": "q"}]
    assert sorted(map(str, reasons(tmp_path, rows))) == ["None", "tie"]


def test_rows_of_a_prompt_need_not_be_neighbours_and_their_order_changes_nothing():
    other = [{**GOOD, "prompt": "q"}, {**POOR, "prompt": "q"}]
    rows = [GOOD, other[0], POOR, other[1]]
    apart, together = gathered("helpsteer2", rows), gathered("helpsteer2", [*other, POOR, GOOD])
    assert [row["prompt"] for row in apart] == [QUESTION, "q"]
    ids = [{adapt("helpsteer2", row).pairs[0].source_id for row in rows} for rows in (apart, together)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2


def test_more_than_two_responses_meet_as_pairing_says():
    rows = [GOOD, POOR, rated("Nile, Po.", 2, 3, 4, 1, 1)]
    assert sides(found(rows)) == [("Nile, Po, Rhine.", "Nile.", 4.0, 1.0)]
    assert sides(found(rows, pairing="all_pairs")) == [
        ("Nile, Po, Rhine.", "Nile, Po.", 4.0, 2.0),
        ("Nile, Po, Rhine.", "Nile.", 4.0, 1.0),
        ("Nile, Po.", "Nile.", 2.0, 1.0),
    ]
    assert len(found(rows, pairing="best_vs_random").pairs) == 1


def test_a_row_that_is_there_twice_counts_once_and_is_noted():
    [row] = gathered("helpsteer2", [GOOD, POOR, GOOD, GOOD])
    assert len(adapt("helpsteer2", row, pairing="all_pairs").pairs) == 1
    assert row.notes() == {REPEATED: 2}


def test_a_prompt_of_several_turns_becomes_messages_and_loses_nothing_but_the_marks():
    pair = found([{**GOOD, "prompt": MARKED}, {**POOR, "prompt": MARKED}]).pairs[0]
    assert pair.prompt == (Message("user", "Hi."), Message("assistant", "Hello!\n"), *ASKED)


@pytest.mark.parametrize("text", ["Human: hi", "[1, 2]", " a\n\n", "Use <extra_id_0> here"])
def test_a_prompt_without_marks_is_one_user_turn_exactly(text):
    assert found([{**GOOD, "prompt": text}, {**POOR, "prompt": text}]).pairs[0].prompt == (Message("user", text),)


def test_rows_that_say_something_else_of_the_conversation_are_two_conversations():
    system = {"system": "Be brief.", "chat_template_kwargs": {"a": 1}}
    first, second = gathered("helpsteer2", [GOOD, GOOD | system, POOR | system, POOR])
    plain, briefed = (adapt("helpsteer2", row).pairs[0] for row in (first, second))
    assert (plain.prompt, briefed.prompt) == (ASKED, (Message("system", "Be brief."), *ASKED))
    assert briefed.template_kwargs == '{"a":1}'
    assert list(second.unread_names()) == ["correctness", "coherence", "complexity", "verbosity"] * 2


def test_a_picture_beside_a_prompt_is_refused():
    with pytest.raises(RowError, match="the column images holds something that is not text"):
        found([GOOD | {"images": ["a.png"]}, POOR | {"images": ["a.png"]}])


def test_a_response_that_was_cut_has_no_end_of_turn():
    adapted = found([GOOD | {"finish_reason": "length"}, POOR | {"finish_reason": "stop"}])
    assert (adapted.pairs[0].chosen_finished, adapted.pairs[0].rejected_finished) == (False, True)
    assert [one.finished for one in adapted.responses] == [False, True]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD], "1 of 1 rows of this prompt have a response and helpfulness, expected at least two"),
        ([GOOD, {**POOR, "helpfulness": None}], "1 of 2 rows of this prompt have a response and helpfulness"),
        ([GOOD, {**POOR, "response": " "}], "1 of 2 rows of this prompt have a response and helpfulness"),
        ([GOOD, {**POOR, "helpfulness": 5}], "helpfulness is 5, expected a rating from 0 to 4"),
        ([GOOD, {**POOR, "helpfulness": -1}], "helpfulness is -1, expected a rating from 0 to 4"),
        ([GOOD, {**POOR, "helpfulness": float("nan")}], "helpfulness is nan, expected a rating from 0 to 4"),
        ([GOOD, {**POOR, "helpfulness": "N/A"}], "helpfulness is the text 'N/A', expected a number"),
        ([GOOD, {**POOR, "helpfulness": [1, 2, 1]}], r"helpfulness is a list, expected a number: .*\(disagreements/\)"),
        ([{**GOOD, "prompt": None}], "prompt is null"),
        ([{"prompt": QUESTION, "text": "a"}], "0 of 1 rows of this prompt have a response and helpfulness"),
        (
            [{**one, "prompt": "Hi.\n<extra_id_1>Tool\nx"} for one in (GOOD, POOR)],
            "prompt has <extra_id_1> before 'Tool', expected User or Assistant and a newline",
        ),
    ],
)
def test_ratings_that_cannot_be_used_are_refused(rows, message):
    with pytest.raises(RowError, match=message):
        found(rows)


def test_a_row_that_could_not_be_read_passes():
    options = TypeAdapter(Source).validate_python({"kind": "helpsteer2", "path": "./x.jsonl"})
    bad = BadRow("no JSON", "{", "0" * 16)
    assert list(SOURCES["helpsteer2"].gather([bad], options)) == [bad]


@pytest.mark.parametrize(
    ("strength", "pair"),
    [
        (-3, ("Nile.", "Nile, Po, Rhine.", 3.0, 0.0)),
        (-1, ("Nile.", "Nile, Po, Rhine.", 1.0, 0.0)),
        (1, ("Nile, Po, Rhine.", "Nile.", 1.0, 0.0)),
        (3, ("Nile, Po, Rhine.", "Nile.", 3.0, 0.0)),
        ("2", ("Nile, Po, Rhine.", "Nile.", 2.0, 0.0)),
    ],
)
def test_a_negative_strength_prefers_response_1(strength, pair):
    adapted = adapt("helpsteer2", {**PREFERENCE, "preference_strength": strength})
    assert sides(adapted) == [pair]
    assert (adapted.pairs[0].prompt, adapted.pairs[0].reason, adapted.responses) == (ASKED, None, ())


def test_a_strength_of_zero_is_a_tie():
    pair = only_pair("helpsteer2", {**PREFERENCE, "preference_strength": 0})
    assert (pair.chosen_score, pair.rejected_score, pair.reason) == (0.0, 0.0, "tie")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, None),
        ({"min_strength": 2}, None),
        ({"min_strength": 3}, "min_strength"),
        # 2 and 1 agree with the strength of 2, -1 does not, -100 is no vote: two of three.
        ({"min_agreement": 0.66}, None),
        ({"min_agreement": 0.67}, "min_agreement"),
        ({"min_strength": 3, "min_agreement": 1}, "min_strength"),
    ],
)
def test_weak_and_disputed_preferences_are_dropped_where_asked(options, reason):
    assert only_pair("helpsteer2", PREFERENCE, **options).reason == reason


@pytest.mark.parametrize(
    ("split", "part", "reason"),
    [
        ("train", "train", None), ("val", "train", "excluded"), ("validation", "train", "excluded"),
        ("val", "val", None), ("validation", "val", None), ("train", "val", "excluded"), ("val", "all", None),
        (None, "val", None),
    ],
)  # fmt: skip
def test_preferences_of_the_other_part_are_left_out(split, part, reason):
    assert only_pair("helpsteer2", {**PREFERENCE, "split": split}, part=part).reason == reason


def test_a_preference_of_several_turns_and_of_columns_beside_the_texts():
    row = Fields(PREFERENCE | {"prompt": MARKED, "system": "Be brief.", "chosen_finish_reason": "length"})
    pair = only_pair("helpsteer2", row)
    turns = (Message("user", "Hi."), Message("assistant", "Hello!\n"), *ASKED)
    assert pair.prompt == (Message("system", "Be brief."), *turns)
    assert (pair.chosen_finished, pair.rejected_finished) == (False, True)


def test_what_is_not_read_of_a_preference_is_named():
    row = Fields(PREFERENCE)
    adapt("helpsteer2", row)
    assert list(row.unread_names()) == [
        "preference_statement", "preference_elaboration", "three_most_similar_preferences",
        "all_preferences_unprocessed",
    ]  # fmt: skip
    row = Fields(PREFERENCE)
    adapt("helpsteer2", row, min_agreement=0.5)
    assert sorted(row.unread_names()) == sorted(
        ["preference_statement", "preference_elaboration", "three_most_similar_preferences"]
        + ["all_preferences_unprocessed[].justification"] * 4
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"preference_strength": None}, {}, "preference_strength is null, expected a whole number from -3"),
        ({"preference_strength": 4}, {}, "preference_strength is 4, expected a whole number from -3"),
        ({"preference_strength": -100}, {}, "preference_strength is -100, expected a whole number from -3"),
        ({"preference_strength": 0.5}, {}, "preference_strength is 0.5, expected a whole number from -3"),
        ({"preference_strength": "A"}, {}, "preference_strength is the text 'A', expected a number"),
        ({"preference_strength": None, "response_1": None}, {}, "preference_strength is null"),
        ({"split": "test"}, {}, "split is the text 'test', expected train or val"),
        ({"split": 1}, {}, "split is 1, expected train or val"),
        (
            {"all_preferences_unprocessed": "[{'strength': 2}]"}, {"min_agreement": 0.5},
            r"all_preferences_unprocessed is the text .*, expected a list",
        ),
        (
            {"all_preferences_unprocessed": [{"strength": -100}]}, {"min_agreement": 0.5},
            "preference_strength is 2 and there is no vote, expected at least one where min_agreement is set",
        ),
        (
            {"all_preferences_unprocessed": [{"strength": 7}]}, {"min_agreement": 0.5},
            r"all_preferences_unprocessed\[0\].strength is 7, expected a whole number",
        ),
    ],
)  # fmt: skip
def test_preferences_that_cannot_be_right_are_refused(change, options, message):
    with pytest.raises(RowError, match=message):
        adapt("helpsteer2", {**PREFERENCE, **change}, **options)


@pytest.mark.parametrize("options", [{"min_strength": 0}, {"min_strength": 4}, {"min_agreement": 1.1}, {"score": "x"},
                                     {"weights": {"x": 1}}, {"weights": {"helpfulness": float("inf")}}])  # fmt: skip
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        gathered("helpsteer2", [], **options)


def test_every_row_is_counted_where_ratings_and_preferences_are_mixed(tmp_path):
    rows = [GOOD, PREFERENCE, POOR, {**GOOD, "prompt": "alone"}, {**PREFERENCE, "prompt": None}]
    loaded = batches(tmp_path, rows)
    assert sum(batch.raw_rows for batch in loaded) == 5
    assert sum(batch.pairs.num_rows for batch in loaded) == 2
    errors = sorted(line.error for batch in loaded for line in batch.quarantined)
    assert errors == [
        "1 of 1 rows of this prompt have a response and helpfulness, expected at least two",
        "prompt is null",
    ]  # fmt: skip


def test_a_table_of_both_layouts_has_nulls_where_the_other_one_speaks():
    nulls = dict.fromkeys({**GOOD, **PREFERENCE})
    rows = gathered("helpsteer2", [nulls | GOOD, nulls | PREFERENCE, nulls | POOR])
    assert [sides(adapt("helpsteer2", row)) for row in rows] == [
        [("Nile, Po, Rhine.", "Nile.", 2.0, 0.0)],
        [("Nile, Po, Rhine.", "Nile.", 4.0, 1.0)],
    ]


def test_score_and_weights_are_two_orders_of_which_one_is_given():
    with pytest.raises(ValidationError, match="score is helpfulness and weights are of verbosity; give one of the two"):
        gathered("helpsteer2", [], score="helpfulness", weights={"verbosity": 1})


def test_rows_of_both_layouts_are_told_and_no_other_kinds_rows_are_taken():
    assert likely(GOOD | {"annotator": "x"}) == likely(PREFERENCE | {"annotator": "x"}) == ["helpsteer2"]
    assert taken_from_others("helpsteer2") == {}
