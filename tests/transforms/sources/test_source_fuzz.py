"""Whatever JSON stands in a kind's columns, an adapter makes pairs or refuses the row."""

import json
import math
from copy import deepcopy
from functools import cache, reduce
from operator import getitem
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sources_support import gathered

from transforms.errors import RowError
from transforms.sources.adapter import row_hash
from transforms.sources.canonical import validate
from transforms.sources.fields import SHARED
from transforms.sources.kinds import SOURCES, Source, distilabel
from transforms.sources.marks import find_marks
from transforms.sources.pages import parsed_rows
from transforms.sources.rows import Fields

# Keys and words that the adapters look for, so that the search gets past their first check.
KEYS = [
        "role", "content", "from", "value", "response", "overall_score", "annotations", "tool_calls", "function_call",
        "function", "name", "arguments", "reasoning_content", "thinking", "finish_reason", "type", "text", "chosen",
        "rejected", "tools", "prompt", "weight", "rank", "user_id", "status",
]  # fmt: skip
WORDS = [
        "user", "assistant", "tool", "human", "gpt", "function_call", "", "5", "N/A", "\n\nHuman: q\n\nAssistant: a",
        "\n\nHuman: q\n\nAssistant:", '[{"role": "user", "content": "q"}]', '{"role": "assistant", "content": null}',
        '{"name": "f", "arguments": "{}"}', "{}", "[]", "length", "stop", "<image>", "</s>", "text", "\0",
        "response1", "response2", "submitted", "A",
]  # fmt: skip
LETTERS = [0, 9, 10, 32, 48, 65, 0x7F, 0xE9, 0x2028, 0xD800, 0xFEFF, 0x1F600]
keys, words = st.sampled_from(KEYS), st.sampled_from(WORDS)
leaves = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | words | st.text(max_size=3)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)

# Messages that are nearly right, with everything that may stand in one.
texts = (
    st.none()
    | st.sampled_from(["a", "b", "<image>", ""])
    | st.lists(st.just({"type": "text", "text": "a"}), max_size=2)
)
call = st.fixed_dictionaries(
    {"name": st.sampled_from("fg")}, optional={"arguments": values, "id": words, "index": leaves}
)
calls = st.lists(call, max_size=2)
extras = {
    "tool_calls": calls | values,
    "function_call": values,
    "reasoning_content": st.sampled_from("xy"),
    "thinking": values,
    "name": leaves,
    "tool_call_id": leaves,
    "finish_reason": words,
    "images": values,
    "weight": leaves,
}
turns = st.builds(
    lambda role, content, more: {"role": role, "content": content, **more},
    st.sampled_from(["system", "user", "assistant", "tool"]),
    texts,
    st.fixed_dictionaries({}, optional=extras),
)
users = st.just({"role": "user", "content": "q"})
conversations = st.builds(
    lambda before, last: [*before, last | {"role": "assistant"}],
    st.lists(users | turns, max_size=3).map(lambda found: found or [{"role": "user", "content": "q"}]),
    turns,
)
conversations |= conversations.map(json.dumps)


@cache
def options_of(kind):
    return TypeAdapter(Source).validate_python({"kind": kind, "path": "./x.jsonl", "token_ids": "use"})


def check(kind, row):
    """Every pair that is made can be named, looked through and written."""
    fields = Fields(row)
    SOURCES[kind].looks_like(row)
    assert len(row_hash(row)) == 16
    try:
        pairs = list(SOURCES[kind].adapt(fields, options_of(kind)).pairs)
        for pair in pairs:
            validate(pair)
    except RowError:
        return []
    finally:
        # What is left is told without a hitch, whatever stopped the adapter.
        assert not {*fields.unread_names()} & {*fields.raw} - fields.left.keys()
    for pair in pairs:
        assert pair.ids.pair.startswith(pair.ids.prompt)
        structure = json.loads(pair.structure) if pair.structure else {}
        assert set(structure) <= {"tools", "chat_template_kwargs", "prompt", "chosen", "rejected"}
        for message in [*structure.get("prompt", {}).values(), structure.get("chosen"), structure.get("rejected")]:
            assert set(message or ()) <= {"content", "tool_calls", "reasoning_content", "name", "tool_call_id"}
            assert all(
                isinstance(call["function"]["arguments"], dict) for call in (message or {}).get("tool_calls", ())
            )
    find_marks(pairs)
    return pairs


# These gather rows; their own tests cover them.
KINDS = [kind for kind in SOURCES if kind not in ("starter", "kto")]
# Columns of kinds with several layouts, of which none is needed in all of them.
ASKED_FOR = {
    "distilabel": [
        *distilabel.PROMPTS, *distilabel.GENERATIONS, *distilabel.RATINGS, *distilabel.MODELS, "ranks", "result",
        "chosen", "rejected", "response", "response_base", "score_base",
    ],
    "argilla": [
        "response1", "response2", "q", "q.responses", "q.responses.users", "q.responses.status", "q.suggestion",
        "response1-rating.responses", "response2-rating.responses", "chosen_response", "rejected_response",
    ],
}  # fmt: skip


def any_value(random, depth=0):
    """As `values`, by hand: drawing a row's thirty columns took hypothesis a hundred times as long as reading them."""
    if depth < 3 and random.random() < 0.4:
        count = random.randint(0, 3)
        if random.random() < 0.5:
            return [any_value(random, depth + 1) for _ in range(count)]
        return {random.choice(KEYS): any_value(random, depth + 1) for _ in range(count)}
    return random.choice(
        [
            None, True, False, random.randint(-1, 2), random.uniform(-9, 9), math.nan, math.inf,
            random.choice(WORDS), random.choice(WORDS), "".join(chr(random.choice(LETTERS)) for _ in range(3)),
        ]
    )  # fmt: skip


def places(value, path=()):
    """Every place in a row, the row itself left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(random, row):
    """A row with one place taken out, exchanged for anything, for another place's value, or written as JSON text."""
    row = deepcopy(row)
    there = list(places(row))
    if not there:
        return row
    *path, last = random.choice(there)
    inside = reduce(getitem, path, row)
    how = random.randrange(4)
    if how == 0:
        del inside[last]
    elif how == 1:
        inside[last] = any_value(random)
    elif how == 2:
        inside[last] = deepcopy(reduce(getitem, random.choice(there), row))
    else:
        inside[last] = json.dumps(inside[last])
    return row


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**64))
def test_an_adapter_makes_pairs_or_refuses_the_row(kind, seed):
    required = [name for one in SOURCES[kind].required for name in one.split(" or ")]
    columns = [*required, *ASKED_FOR.get(kind, ()), "prompt", "source", "id", "structure", *sorted(SHARED)]
    shown = [row.raw for row in gathered(kind, parsed_rows(SOURCES[kind]))]
    assert any(check(kind, row) for row in shown)  # else the search would see refusals alone
    random = Random(seed)
    for _ in range(20):
        few = [any_value(random) for _ in range(random.choice((2, 40)))]  # of two, both sides are often equal
        there = random.choice((0.3, 0.6, 0.95))  # of the columns
        check(kind, {column: random.choice(few) for column in columns if random.random() < there})
        row = random.choice(shown)
        for _ in range(random.choice((1, 1, 2))):
            row = changed(random, row)
        check(kind, row)
        check(kind, row | {column: any_value(random) for column in random.sample(columns, 2)})


@pytest.mark.parametrize("kind", ["preference", "skywork", "rlhflow", "ultrafeedback_binarized", "onpolicy"])
@settings(max_examples=50)
@given(data=st.data())
def test_conversations_with_calls_and_reasoning_become_pairs_or_are_refused(kind, data):
    beside = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "tools": values, "system": st.sampled_from(["s", ""]), "chosen_finish_reason": words, "rating": values,
                "chosen_ids": values, "chat_template_kwargs": values,
            },
        )
    )  # fmt: skip
    needed = {
        "rlhflow": {"chosen_score": 2, "rejected_score": 1},
        "ultrafeedback_binarized": {"score_chosen": 2, "score_rejected": 1},
        "onpolicy": {"all_generated_responses": ["a", "b"], "all_rm_scores": [2, 1]},
    }.get(kind, {})
    sides = {side: data.draw(conversations) for side in ("chosen", "rejected")}
    check(kind, sides | needed | beside)


@settings(max_examples=200)
@given(turns, turns, st.fixed_dictionaries({}, optional={"tools": st.just([{"name": "f"}]), "system": st.just("s")}))
def test_two_answers_to_one_question_are_told_apart_by_all_that_is_read_of_them(better, worse, beside):
    question = {"role": "user", "content": "q"}
    sides = {name: [question, side | {"role": "assistant"}] for name, side in (("chosen", better), ("rejected", worse))}
    for pair in check("preference", sides | beside):
        same = (pair.chosen, pair.chosen_more) == (pair.rejected, pair.rejected_more)
        assert not same
        swapped = check("preference", {"chosen": sides["rejected"], "rejected": sides["chosen"]} | beside)
        assert [other.ids.prompt for other in swapped] == [pair.ids.prompt]
        assert swapped[0].ids.pair != pair.ids.pair
