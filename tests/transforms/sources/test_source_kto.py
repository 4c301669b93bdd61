"""Unpaired sets: which completions of a prompt meet, and what becomes of the others. Rows are written for the tests."""

import json
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sources_support import ASKED, QUESTION, chat, sides

from transforms.errors import RowError, SourceError
from transforms.sources.adapter import BadRow
from transforms.sources.canonical import Message, validate
from transforms.sources.kinds import SOURCES, Source, kto
from transforms.sources.kinds.kto import BOTH_LABELS_NOTE, LEFT_OVER_NOTE, NOTHING_LEFT_NOTE, ONE_LABEL_NOTE
from transforms.sources.load import load_batches
from transforms.sources.raw_row import find_raw_row
from transforms.sources.rows import Fields


def options(**more):
    return TypeAdapter(Source).validate_python({"kind": "kto", "path": "./x.jsonl", **more})


def gathered(rows, **more):
    """The groups, and the errors of rows that are in none."""
    found = list(SOURCES["kto"].gather([Fields(row) for row in rows], options(**more)))
    return [row for row in found if isinstance(row, Fields)], [row.error for row in found if isinstance(row, BadRow)]


def only_group(rows, **more):
    """The one prompt of the rows, adapted, and what was noted of it."""
    (group,), errors = gathered(rows, **more)
    assert errors == []
    return SOURCES["kto"].adapt(group, options(**more)), dict(group.notes())


def good(text, prompt=QUESTION, **more):
    return {"prompt": prompt, "completion": text, "label": True, **more}


def bad(text, prompt=QUESTION, **more):
    return {"prompt": prompt, "completion": text, "label": False, **more}


def load(path, rows, **more):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    (batch,) = load_batches(options(path=str(path), **more))
    return batch


def test_every_desirable_completion_meets_every_undesirable_one():
    found, notes = only_group([good("b"), bad("x"), good("a"), bad("y")])
    assert sides(found) == [("a", "x", 1.0, 0.0), ("a", "y", 1.0, 0.0), ("b", "x", 1.0, 0.0), ("b", "y", 1.0, 0.0)]
    assert {pair.prompt for pair in found.pairs} == {ASKED}
    assert {pair.source_id for pair in found.pairs} == {found.pairs[0].ids.prompt}
    assert {(pair.reason, pair.chosen_finished, pair.rejected_finished) for pair in found.pairs} == {(None, True, True)}
    assert notes == {}


def test_all_completions_are_responses_with_their_label_as_score():
    found, _ = only_group([bad("x", finish_reason="length"), good("a"), good("b")])
    assert [(one.index, one.text, one.score, one.finished) for one in found.responses] == [
        (0, "a", 1.0, True), (1, "b", 1.0, True), (2, "x", 0.0, False),
    ]  # fmt: skip
    assert found.prompt == ASKED
    assert [(pair.chosen_finished, pair.rejected_finished) for pair in found.pairs] == [(True, False)] * 2


def test_rows_of_a_prompt_are_found_wherever_they_are_and_their_order_changes_nothing():
    rows = [one(f"{prompt} {number}", prompt) for prompt in "pqr" for one in (good, bad) for number in (1, 2)]
    groups, _ = gathered(rows)
    shuffled = random.Random(0).sample(rows, len(rows))
    again, _ = gathered(shuffled)
    assert [group["prompt_id"] for group in groups] == sorted(group["prompt_id"] for group in again)
    assert [len(group.rows()) for group in groups] == [4, 4, 4]
    for group, other in zip(groups, again, strict=True):
        one, two = (SOURCES["kto"].adapt(row, options()) for row in (group, other))
        assert [pair.ids for pair in one.pairs] == [pair.ids for pair in two.pairs]
        assert one.responses == two.responses


COMPLETION = [{"role": "assistant", "content": "Nile."}]
SAID = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": "Nile."}]
TRANSCRIPT = f"\n\nHuman: {QUESTION}\n\nAssistant:"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": QUESTION, "completion": "Nile."},
        {"prompt": chat(QUESTION), "completion": COMPLETION},
        {"prompt": json.dumps(chat(QUESTION)), "completion": json.dumps(COMPLETION)},
        {"prompt": QUESTION, "completion": COMPLETION[0]},
        {"prompt": QUESTION, "completion": chat(QUESTION, "Nile.")},
        {"prompt": None, "completion": chat(QUESTION, "Nile.")},
        {"completion": chat(QUESTION, "Nile.")},
        {"completion": f"{TRANSCRIPT} Nile."},
        {"prompt": TRANSCRIPT, "completion": "Nile."},
        {"messages": chat(QUESTION, "Nile.")},
        {"conversations": SAID},
        {"conversations": json.dumps(SAID)},
        {"instruction": QUESTION, "input": "", "output": "Nile."},
        {"instruction": QUESTION, "output": "Nile.", "history": []},
        {"instruction": "", "input": QUESTION, "output": "Nile."},
    ],
)
@pytest.mark.parametrize("label", ["label", "kto_tag"])
def test_every_layout_becomes_the_same_pair(row, label):
    raw = {**row, label: True}
    found, _ = only_group([raw, bad("I cannot.")])
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in found.pairs] == [(ASKED, "Nile.", "I cannot.")]
    assert [name for name, kind in SOURCES.items() if kind.looks_like(raw)] == ["kto"]


def test_earlier_turns_stand_in_the_prompt_in_every_layout():
    turns = (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    rows = [
        {"prompt": chat("Hi.", "Hello!", QUESTION), "completion": "a", "label": True},
        {"prompt": QUESTION, "completion": chat("Hi.", "Hello!", QUESTION, "b"), "label": True},
        {"messages": chat("Hi.", "Hello!", QUESTION, "c"), "label": True},
        {"instruction": QUESTION, "output": "d", "history": [["Hi.", "Hello!"]], "kto_tag": False},
    ]
    found, _ = only_group(rows)
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in found.pairs] == [
        (turns, "a", "d"), (turns, "b", "d"), (turns, "c", "d"),
    ]  # fmt: skip


def test_an_instruction_goes_before_its_input():
    found, _ = only_group(
        [{"instruction": "Add.", "input": "1 + 1", "output": text, "kto_tag": text == "2"} for text in ("2", "3")]
    )
    assert found.pairs[0].prompt == (Message("user", "Add.\n1 + 1"),)


def test_system_prompts_and_tools_belong_to_the_prompt_and_part_its_rows():
    tools = [{"type": "function", "function": {"name": "f"}}]
    beside = {"system": "Be brief.", "tools": json.dumps(tools), "chat_template_kwargs": {"x": 1}}
    groups, _ = gathered([good("a", **beside), bad("b", **beside), bad("c"), good("d", system="Be long.")])
    assert sorted(len(group.rows()) for group in groups) == [1, 1, 2]
    (group,) = [group for group in groups if len(group.rows()) == 2]
    (pair,) = SOURCES["kto"].adapt(group, options()).pairs
    assert pair.prompt == (Message("system", "Be brief."), *ASKED)
    assert (json.loads(pair.tools), json.loads(pair.template_kwargs)) == (tools, {"x": 1})
    assert group["prompt_id"] == pair.ids.prompt


def test_a_call_is_a_completion():
    call = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    found, _ = only_group([good([{"role": "assistant", "content": None, "tool_calls": call}]), bad("No.")])
    (pair,) = found.pairs
    validate(pair)
    assert (pair.chosen, json.loads(pair.chosen_more)["tool_calls"]) == ("", call)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (True, True), (1, True), (1.0, True), ("true", True), ("True", True), (" 1 ", True),
        (False, False), (0, False), (0.0, False), ("false", False), ("FALSE", False), ("0", False),
    ],
)  # fmt: skip
def test_labels_are_flags_numbers_or_text(value, label):
    rows = [{"prompt": QUESTION, "completion": "told", "label": value}, (bad if label else good)("other")]
    found, _ = only_group(rows)
    assert [(pair.chosen == "told", pair.rejected == "told") for pair in found.pairs] == [(label, not label)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            good("a", label="good"),
            "label is the text 'good', expected true or false (or 1 or 0, as a number or as text)",
        ),
        (good("a", label=-1), "label is -1, expected true or false (or 1 or 0, as a number or as text)"),
        (good("a", label=None), "label and kto_tag are null or missing; expected one label, true or false"),
        (good("a", kto_tag=0), "label and kto_tag contradict each other; expected one label, true or false"),
        (good(None), "completion is null"),
        (good(" "), "completion is whitespace only"),
        (good(chat(QUESTION)), "the completion ends in a user turn, expected an assistant turn"),
        (good([]), "the completion is empty, expected an assistant turn"),
        (
            good([*COMPLETION, *chat("More?", "Po.")]),
            "the completion has 3 messages behind the prompt, and its label is of all of them; expected one assistant"
            " turn",
        ),
        (
            {"completion": "Nile.", "label": True},
            "completion is the text 'Nile.' without a prompt, so what was asked cannot be told; add a column prompt, or"
            " use messages",
        ),
        (
            {"messages": chat(QUESTION), "label": True},
            "messages ends in a user turn, expected messages that end in the assistant turn that the label is of",
        ),
        (
            {"text": "Nile.", "label": True},
            "found the columns label, text; expected prompt and completion, messages, conversations, or instruction and"
            " output",
        ),
        (
            {"instruction": QUESTION, "output": "a", "label": True, "history": [["Hi."]]},
            "history[0] is list, expected a list of a question and an answer",
        ),
        (
            {"instruction": QUESTION, "output": "a", "label": True, "history": "Hi."},
            "history is the text 'Hi.', expected a list of earlier turns",
        ),
        ({"instruction": 3, "output": "a", "label": True}, "instruction is 3, expected text"),
        ({"instruction": "", "output": "a", "label": True}, "prompt turn 0 (user) is empty"),
        (
            good("a", images=["x.png"]),
            "the column images holds something that is not text, and the row is about it; expected text only",
        ),
        (
            good("a", finish_reason="stop", finished=False),
            "the completion cannot be both finished and cut: finished says cut, finish_reason says finished",
        ),
    ],
)
def test_a_bad_row_is_quarantined_alone_and_the_others_of_its_prompt_stay(row, message):
    groups, errors = gathered([row, good("x"), bad("y")])
    assert errors == [message]
    assert [len(group.rows()) for group in groups] == [2]


def test_prompts_with_one_label_have_no_pair_and_their_rows_are_counted(tmp_path):
    rows = [
        good("a"), bad("b"), good("c", "only good"), good("d", "only good"), bad("e", "only bad"), good(None),
    ]  # fmt: skip
    batch = load(tmp_path / "x.jsonl", rows)
    assert batch.columns.notes == {ONE_LABEL_NOTE[True]: 2, ONE_LABEL_NOTE[False]: 1}
    assert batch.pairs["chosen"].to_pylist() == ["a"]
    assert len(batch.quarantined) == 1
    # Every row is a response of a pair's prompt, in a note, or in the quarantine.
    counted = batch.responses.num_rows + sum(batch.columns.notes.values()) + len(batch.quarantined)
    assert batch.raw_rows == counted == 6


def test_a_completion_with_both_labels_is_in_no_pair():
    rows = [good("both"), bad("both"), good("a"), bad("b")]
    found, notes = only_group(rows)
    assert sides(found) == [("a", "b", 1.0, 0.0)]
    assert notes == {BOTH_LABELS_NOTE: 2}


def test_a_completion_that_meets_only_such_ones_is_in_no_pair():
    found, notes = only_group([good("both"), bad("both"), good("a")])
    assert (found.pairs, found.responses) == ([], ())
    assert notes == {BOTH_LABELS_NOTE: 2, NOTHING_LEFT_NOTE: 1}


def test_pairing_once_takes_each_completion_once_and_counts_the_others():
    rows = [good(text) for text in "abc"] + [bad(text) for text in "xy"]
    found, notes = only_group(rows, pairing="once")
    assert sides(found) == [("a", "x", 1.0, 0.0), ("b", "y", 1.0, 0.0)]
    assert notes == {LEFT_OVER_NOTE: 1}
    again, _ = only_group(rows[::-1], pairing="once")
    assert [pair.ids for pair in again.pairs] == [pair.ids for pair in found.pairs]


def test_a_prompt_with_too_many_pairs_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(kto, "MOST_PAIRS", 5)
    rows = [good(text) for text in "abc"] + [bad(text) for text in "xy"]
    with pytest.raises(
        RowError, match=r"3 desirable and 2 undesirable completions, which would be 6 pairs; expected at"
    ):
        only_group(rows)
    assert len(only_group(rows, pairing="once")[0].pairs) == 2


def test_rows_without_any_prompt_of_both_labels_are_refused():
    rows = [good("a"), good("b"), bad("c", "q2"), good("d", "q3")]
    with pytest.raises(SourceError) as caught:
        gathered(rows)
    assert str(caught.value) == (
        "./x.jsonl: no prompt has both a desirable and an undesirable completion (2 prompts have desirable ones only, 1"
        " undesirable ones only), so there is no pair; a limit may cut the rows of a prompt apart"
    )


def test_where_a_row_that_cannot_be_used_leaves_no_pair_the_error_says_why():
    with pytest.raises(SourceError, match=r"apart\. 1 rows could not be used, the first because completion is null"):
        gathered([good(None), bad("c")])


def test_rows_that_are_all_bad_are_a_quarantine_and_no_error(tmp_path):
    batch = load(tmp_path / "x.jsonl", [good(None), bad("")])
    assert (batch.pairs.num_rows, len(batch.quarantined), batch.raw_rows) == (0, 2, 2)


def test_a_row_that_could_not_even_be_read_is_passed_on():
    broken = BadRow("no JSON", "{", "0" * 16)
    assert list(SOURCES["kto"].gather([broken], options())) == [broken]


def test_columns_that_are_not_read_are_named_once_a_row(tmp_path):
    rows = [good("a", model="m", average_rating=4.5), bad([{**COMPLETION[0], "weight": 1}], model="m")]
    batch = load(tmp_path / "x.jsonl", rows)
    assert batch.columns.unread == {"model": 2, "average_rating": 1, "completion[].weight": 1}
    assert list(batch.columns.read) == ["prompt", "completion", "label"]


def test_the_raw_rows_behind_a_pair_are_found(tmp_path):
    path = tmp_path / "x.jsonl"
    batch = load(path, [good("a"), good("z", "q2"), bad("b"), bad("y", "q2")])
    wanted = next(row for row in batch.pairs.to_pylist() if row["chosen"] == "a")
    found = find_raw_row(options(path=str(path)), wanted["pair_id"])
    assert found == {"prompt_id": wanted["pair_id"][:16], "rows": [good("a"), bad("b")]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completion": "a"},
        {"prompt": "q", "completion": "a", "label": 2},
        {"prompt": "q", "chosen": "a", "rejected": "b", "label": True, "completion": "c"},
        {"text": "q", "label": 1},
        {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
    ],
)
def test_other_rows_do_not_look_like_it(row):
    assert not SOURCES["kto"].looks_like(row)


def test_a_file_without_labels_is_refused_by_the_columns_that_it_lacks(tmp_path):
    with pytest.raises(SourceError, match="missing columns: label or kto_tag; found columns: completion, prompt"):
        load(tmp_path / "x.jsonl", [{"prompt": "q", "completion": "a"}])


words = st.sampled_from(["q", "", "a", "b", " ", "\0", "true", '[{"role": "user", "content": "q"}]', "Human: q"])
turn = st.builds(
    lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant", "x"]), words | st.none()
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.floats(allow_nan=True) | words,
    lambda inner: st.lists(inner | turn, max_size=3) | st.dictionaries(words, inner, max_size=2),
    max_leaves=6,
)
names = st.fixed_dictionaries(
    {"label": st.booleans() | values},
    optional=dict.fromkeys(
        ["prompt", "completion", "messages", "conversations", "instruction", "input", "output", "history", "kto_tag",
         "system", "tools", "finish_reason", "images"], values | st.just("a"),
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(names, max_size=4))
def test_whatever_the_rows_hold_each_is_a_response_noted_or_quarantined(rows):
    rows = [*rows, good("good"), bad("bad")]
    groups, errors = gathered(rows)
    assert sum(len(group.rows()) for group in groups) + len(errors) == len(rows)
    for group in groups:
        found = SOURCES["kto"].adapt(group, options())
        assert len(found.responses) == (len(group.rows()) if found.pairs else 0)
        if not found.pairs:
            assert sum(group.notes().values()) == len(group.rows())
        for pair in found.pairs:
            assert pair.ids.prompt == group["prompt_id"]


def test_a_file_of_two_layouts_reads_as_a_table_what_it_reads_as_lines():
    rows = [
        {"prompt": "q", "completion": "a", "label": True},
        {"instruction": "q", "input": "", "output": "b", "kto_tag": False},
        {"messages": chat("q", "c"), "label": False},
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    for layout in (rows, [{name: row.get(name) for name in names} for row in rows]):
        (group,), errors = gathered(layout)
        assert errors == []
        assert sides(kto.adapt(group, options())) == [("a", "b", 1.0, 0.0), ("a", "c", 1.0, 0.0)]
