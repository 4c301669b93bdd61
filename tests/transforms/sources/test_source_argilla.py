"""Records that people annotated in Argilla become the pairs that most of them mean. Rows are made for these tests."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from sources_support import ASKED, QUESTION, adapt, chat, only_pair, sides

from transforms.errors import RowError
from transforms.sources.canonical import validate
from transforms.sources.kinds import SOURCES
from transforms.sources.kinds.argilla import NO_MAJORITY, OUTVOTED, SUGGESTED
from transforms.sources.load import load_batches
from transforms.sources.pages import parsed_rows
from transforms.sources.rows import Fields

KIND = "argilla"
RECORD = {"id": "r1", "status": "completed", "prompt": QUESTION, "response1": "one", "response2": "two"}


def answered(*answers, name="preference", statuses=None):
    return {
        f"{name}.responses": list(answers),
        f"{name}.responses.users": [f"u{at}" for at in range(len(answers))],
        f"{name}.responses.status": statuses or ["submitted"] * len(answers),
    }


def record(*answers, **more):
    return RECORD | answered(*answers, **more)


def refused(message, row, **options):
    with pytest.raises(RowError, match=message):
        for pair in adapt(KIND, row, **options).pairs:
            validate(pair)


def test_one_annotator_decides_by_a_label():
    found = adapt(KIND, record("response2"))
    assert sides(found) == [("two", "one", 1.0, 0.0)]
    assert (found.prompt, found.pairs[0].source_id, found.pairs[0].reason) == (ASKED, "r1", None)
    assert [(one.index, one.text, one.score) for one in found.responses] == [(0, "one", 0.0), (1, "two", 1.0)]


@pytest.mark.parametrize(
    ("answers", "chosen", "reason", "notes"),
    [
        (["response1"] * 3, "one", None, {}),
        (["response1", "response2", "response2"], "two", None, {OUTVOTED: 1}),
        (["response1", "response2"], None, "excluded", {NO_MAJORITY: 1}),
        (["response1", "response2", "response1", "response2"], None, "excluded", {NO_MAJORITY: 1}),
        (["tie", "tie", "response1"], None, "tie", {OUTVOTED: 1}),
        (["tie", "response1"], None, "excluded", {NO_MAJORITY: 1}),
        (["tie"], None, "tie", {}),
        (["tie", "tie", "response1", "response1", "response2"], None, "excluded", {NO_MAJORITY: 1}),
    ],
)
def test_what_most_annotators_say_counts_and_a_draw_is_excluded(answers, chosen, reason, notes):
    row = Fields(record(*answers))
    (pair,) = adapt(KIND, row).pairs
    assert (pair.reason, row.notes()) == (reason, notes)
    assert chosen in (pair.chosen, None)


def test_scores_are_shares_of_the_votes():
    assert sides(adapt(KIND, record("response1", "response2", "response2", "tie", "response2"))) == [
        ("two", "one", 0.6, 0.2)
    ]


@pytest.mark.parametrize("status", ["draft", "discarded", None])
def test_answers_that_were_not_submitted_do_not_count(status):
    row = record("response1", "response1", "response2", statuses=[status, status, "submitted"])
    assert sides(adapt(KIND, row)) == [("two", "one", 1.0, 0.0)]
    refused("no submitted answer to preference; set suggestion: unanswered", record("response1", statuses=[status]))


def test_answers_without_a_column_of_states_count():
    row = RECORD | {"preference.responses": ["response2"]}
    assert sides(adapt(KIND, row)) == [("two", "one", 1.0, 0.0)]


def test_the_suggestion_counts_only_where_it_is_asked_for_and_nobody_has_answered():
    suggested = {"preference.suggestion": "response1", "preference.suggestion.agent": "judge"}
    asked_for = {"suggestion": "unanswered"}
    row = Fields(record("response2") | suggested)
    assert sides(adapt(KIND, row, **asked_for)) == [("two", "one", 1.0, 0.0)]
    assert (row.notes(), sorted(row.unread_names())) == (
        {}, ["preference.suggestion", "preference.suggestion.agent", "status"],
    )  # fmt: skip
    alone = Fields(record("response2", statuses=["discarded"]) | suggested)
    assert sides(adapt(KIND, alone, **asked_for)) == [("one", "two", 1.0, 0.0)]
    assert alone.notes() == {SUGGESTED: 1}
    only = RECORD | suggested | {"preference.responses": None}
    refused("no submitted answer to preference; set suggestion: unanswered", only)
    refused("no submitted answer to preference$", record(statuses=[]), **asked_for)


RANKINGS = {
    "names": ["response2", "response3", "response1"],
    "objects": [
        {"value": "response1", "rank": 3},
        {"value": "response2", "rank": 1},
        {"value": "response3", "rank": 2},
    ],
    "columns": {"value": ["response1", "response2", "response3"], "rank": [3, 1, 2]},
    "objects without ranks": [{"value": name} for name in ("response2", "response3", "response1")],
}


@pytest.mark.parametrize("form", RANKINGS)
def test_a_ranking_in_all_its_forms(form):
    row = record(RANKINGS[form]) | {"response3": "three"}
    assert sides(adapt(KIND, row)) == [("two", "one", -1.0, -3.0)]
    assert [pair[:2] for pair in sides(adapt(KIND, row, pairing="all_pairs"))] == [
        ("two", "three"), ("two", "one"), ("three", "one"),
    ]  # fmt: skip


def test_of_several_rankings_each_pair_has_a_majority_of_its_own():
    orders = [["response1", "response2", "response3"]] * 2 + [["response2", "response3", "response1"]]
    row = Fields(record(*orders) | {"response3": "three"})
    # Mean ranks 5/3, 5/3, 8/3: of equal ones the order of content decides, the majority which is chosen.
    found = adapt(KIND, row, pairing="all_pairs").pairs
    assert {(pair.chosen, pair.rejected, pair.reason) for pair in found} == {
        ("one", "two", None), ("one", "three", None), ("two", "three", None),
    }  # fmt: skip
    assert row.notes() == {OUTVOTED: 2}


def test_equal_ranks_are_a_tie():
    row = record([{"value": "response1", "rank": 1}, {"value": "response2", "rank": 1}])
    assert only_pair(KIND, row).reason == "tie"


def rated(*by_response, users=None):
    row = {"id": "r2", "instruction": QUESTION}
    for at, ratings in enumerate(by_response):
        row |= {f"generations-{at}": f"text {at}"} | answered(*ratings, name=f"generations-{at}-rating")
        if users:
            row[f"generations-{at}-rating.responses.users"] = users[at]
    return row


def test_a_rating_for_each_response_as_distilabel_asks_for_it():
    found = adapt(KIND, rated([2], [5], [3]))
    assert sides(found) == [("text 1", "text 0", 5.0, 2.0)]
    assert [one.score for one in found.responses] == [2.0, 5.0, 3.0]


def test_most_annotators_decide_and_not_the_mean_of_their_ratings():
    # Means 3.67 and 3.33, and two of three find the second better.
    row = Fields(rated([5, 3, 3], [1, 4, 5]))
    assert sides(adapt(KIND, row)) == [("text 1", "text 0", 10 / 3, 11 / 3)]
    assert row.notes() == {OUTVOTED: 1}


def test_ratings_are_matched_by_their_users_and_not_by_their_places():
    row = rated([5, 1], [4, 2], users=[["a", "b"], ["b", "a"]])
    # a: 5 against 2; b: 1 against 4.
    assert only_pair(KIND, row).reason == "excluded"
    assert only_pair(KIND, rated([5], [2], users=[["a"], ["b"]])).reason == "excluded"
    refused("two answers of the user a", rated([5, 1], [4, 2], users=[["a", "a"], ["a", "b"]]))
    row["generations-0-rating.responses.users"] = None
    refused("generations-0-rating has several answers without a user", row)


def test_a_response_that_nobody_rated_or_that_is_empty_is_no_candidate():
    found = adapt(KIND, rated([2], [5], []))
    assert sides(found) == [("text 1", "text 0", 5.0, 2.0)]
    assert [one.score for one in found.responses] == [2.0, 5.0, None]
    row = rated([2], [5], [1]) | {"generations-2": None}
    assert sides(adapt(KIND, row)) == [("text 1", "text 0", 5.0, 2.0)]
    refused("1 of 2 responses have text and an answer that counts", rated([2], []))


def test_fields_question_and_labels_may_have_any_names():
    row = {"q": QUESTION, "left": "one", "right": "two"}
    row |= answered("B", name="which") | answered("fine", name="comment")
    options = {"prompt": "q", "responses": ["left", "right"], "question": ["which"], "labels": ["A", "B"]}
    fields = Fields(row)
    assert sides(adapt(KIND, fields, **options)) == [("two", "one", 1.0, 0.0)]
    assert sorted(fields.unread_names()) == [
        "comment.responses", "comment.responses.status", "comment.responses.users",
    ]  # fmt: skip
    assert only_pair(KIND, row | answered("same", name="which"), ties=["same"], **options).reason == "tie"


@pytest.mark.parametrize("answer", ["2", 2, 2.0])
def test_a_rating_question_that_asks_which_is_better_has_labels(answer):
    assert sides(adapt(KIND, record(answer), labels=["1", "2"])) == [("two", "one", 1.0, 0.0)]
    refused(r"preference has the answer .*2.*, expected one of response1, response2 \(labels\)", record(answer))


def test_fields_are_told_by_their_names_in_the_order_of_their_endings():
    row = {"prompt": QUESTION, "response_b": "b", "response_a": "a", "responses": ["x"], "answer": "y"}
    row |= answered("response_b")
    fields = Fields(row)
    assert sides(adapt(KIND, fields)) == [("b", "a", 1.0, 0.0)]
    assert sorted(fields.unread_names()) == ["answer", "responses"]
    many = {"prompt": QUESTION} | {f"reply-{at}": str(at) for at in (10, 9, 1)} | answered(["reply-10", "reply-9"])
    assert [one.text for one in adapt(KIND, many).responses] == ["1", "9", "10"]


def test_fields_may_be_chats():
    row = record("response2") | {"prompt": chat(QUESTION), "response1": chat(QUESTION, "one")[1:]}
    assert sides(adapt(KIND, row)) == [("two", "one", 1.0, 0.0)]
    refused("response1 holds 2 messages", row | {"response1": chat(QUESTION, "one")})


OLD = {"prompt": QUESTION, "response-1": "one", "response-2": "two", "external_id": "r3"}


@pytest.mark.parametrize(
    "answers",
    [
        [{"user_id": "u", "value": "response-2", "status": "submitted"},
         {"user_id": "v", "value": "response-1", "status": "discarded"}],
        {"user_id": ["u", "v"], "value": ["response-2", "response-1"], "status": ["submitted", "discarded"]},
    ],
)  # fmt: skip
def test_records_of_argilla_1(answers):
    pair = only_pair(KIND, OLD | {"preference": answers, "preference-suggestion": "response-1"})
    assert (pair.chosen, pair.rejected, pair.source_id) == ("two", "one", "r3")
    nobody = OLD | {"preference": [], "preference-suggestion": "response-1"}
    refused("no submitted answer to preference; set", nobody)
    assert only_pair(KIND, nobody, suggestion="unanswered").chosen == "one"


PUBLISHED = {
    "source": "truthful_qa", "instruction": QUESTION, "chosen_response": "a", "rejected_response": "b",
    "chosen_avg_rating": 4.75, "rejected_avg_rating": 2.5, "chosen_model": "gpt-4",
}  # fmt: skip


def test_published_pairs_have_the_mean_of_their_ratings():
    fields = Fields(PUBLISHED)
    found = adapt(KIND, fields)
    assert (sides(found), found.pairs[0].prompt, found.pairs[0].reason) == ([("a", "b", 4.75, 2.5)], ASKED, None)
    assert list(fields.unread_names()) == ["chosen_model"]


def test_sources_can_be_excluded():
    assert only_pair(KIND, PUBLISHED, exclude=["truthful_qa"]).reason == "excluded"
    assert only_pair(KIND, record("response1") | {"source": "x"}, exclude=["x"]).reason == "excluded"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, r"prompt and instruction hold no prompt; name its field \(prompt\)"),
        ({"response2": " "}, "1 of 2 responses have text"),
        ({"preference.responses.users": ["u", "v"]}, "preference has 1 answers, 2 users and 1 states"),
        ({"preference.responses.status": "submitted"}, "preference.responses.status is the text 'submitted'"),
        ({"preference.responses.status": ["done"]}, "an answer that is the text 'done', expected submitted, draft or"),
        ({"preference.responses": ["neither"]}, "the answer the text 'neither', expected one of response1, response2"),
        ({"preference.responses": [True]}, "has the answer True"),
        ({"preference.responses": [["response1", "response1"]]}, "ranks the text 'response1', expected each of"),
        (
            {"preference.responses": [["response1", 3]]},
            "preference ranks 3, expected each of response1, response2 once",
        ),
        ({"preference.responses": [{"value": ["response1"], "rank": [1, 2]}]}, "expected as many ranks as names"),
        (
            {"preference.responses": [{"value": ["response1"], "rank": ["x"]}]},
            "an answer to preference is the text 'x'",
        ),
        ({"preference.responses": [["response1"]]}, "1 of 2 responses have text and an answer that counts"),
        ({"other.responses": ["x"]}, r"has the questions preference, other; name the one that decides \(question\)"),
    ],
)
def test_records_that_cannot_be_understood_are_refused(change, message):
    refused(message, record("response2") | change)


def test_names_that_are_not_there_are_refused_with_those_that_are():
    row = record("response2")
    refused("the question best is not there; the record has the questions preference", row, question=["best"])
    refused("the field left is not there", row, responses=["left", "response1"])
    refused("fields that hold a response: none; expected at least two", {"prompt": QUESTION} | answered("x"))
    refused("fields that hold a response: response1; expected", {"prompt": QUESTION, "response1": "a"} | answered("x"))
    refused("3 labels for 2 responses", row, labels=["a", "b", "c"])
    refused("labels are a, a, expected each of them once", row, labels=["a", "a"])
    refused("2 questions for 3 responses", row | {"response3": "c"}, question=["preference", "preference"])
    with pytest.raises(ValidationError, match="suggestion"):
        adapt(KIND, row, suggestion="use")


def test_an_export_is_read_from_its_file_and_what_is_not_read_is_named(tmp_path):
    rows = [record("response2"), record("response1", statuses=["discarded"]), record("response1", "response2")]
    rows = [row | {"id": f"r{at}", "_server_id": "x", "response1": f"one {at}"} for at, row in enumerate(rows)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    (batch,) = load_batches(SOURCES[KIND].options(kind=KIND, path=str(path)))
    assert batch.pairs.to_pydict()["reason"] == [None, "excluded"]
    assert [(line.row["id"], line.error.partition(";")[0]) for line in batch.quarantined] == [
        ("r1", "no submitted answer to preference")
    ]
    assert batch.columns.unread_values() == {"_server_id": 3, "status": 3}
    assert batch.columns.notes == {NO_MAJORITY: 1}


def looks(row):
    return [name for name, kind in SOURCES.items() if kind.looks_like(row)]


@pytest.mark.parametrize("row", [*parsed_rows(SOURCES[KIND]), record("response1"), PUBLISHED])
def test_its_rows_look_like_it_and_like_nothing_else(row):
    assert looks(row) == looks(row | {"annotator": "x"}) == [KIND]


def test_no_row_of_another_kind_looks_like_it():
    others = [row for name, kind in SOURCES.items() if name != KIND for row in parsed_rows(kind)]
    cases = Path(__file__).parents[2] / "cases"
    others += [json.loads(line) for path in cases.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [row for row in others if KIND in looks(row)] == []


# These sets of Argilla's have the layout of kind preference, which reads their ratings, too.
@pytest.mark.parametrize("ratings", [("chosen-rating", "rejected-rating"), ("chosen_rating", "rejected_rating")])
def test_sets_with_conversations_and_ratings_are_of_kind_preference(ratings):
    row = {"source": "s", "chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"), ratings[0]: 5, ratings[1]: 3}
    assert KIND not in looks(row)
    assert sides(adapt("preference", row)) == [("a", "b", 5.0, 3.0)]
