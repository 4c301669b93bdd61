"""Whatever JSON stands in a kind's columns, an adapter makes pairs or refuses the row."""

import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from transforms.errors import RowError
from transforms.sources.adapter import row_hash
from transforms.sources.canonical import validate
from transforms.sources.fields import SHARED
from transforms.sources.kinds import SOURCES, Source, distilabel
from transforms.sources.marks import find_marks
from transforms.sources.rows import Fields

# Keys and words that the adapters look for, so that the search gets past their first check.
keys = st.sampled_from(
    [
        "role", "content", "from", "value", "response", "overall_score", "annotations", "tool_calls", "function_call",
        "function", "name", "arguments", "reasoning_content", "thinking", "finish_reason", "type", "text", "chosen",
        "rejected", "tools", "prompt", "weight", "rank", "user_id", "status",
    ]
)  # fmt: skip
words = st.sampled_from(
    [
        "user", "assistant", "tool", "human", "gpt", "function_call", "", "5", "N/A", "\n\nHuman: q\n\nAssistant: a",
        "\n\nHuman: q\n\nAssistant:", '[{"role": "user", "content": "q"}]', '{"role": "assistant", "content": null}',
        '{"name": "f", "arguments": "{}"}', "{}", "[]", "length", "stop", "<image>", "</s>", "text", "\0",
        "response1", "response2", "submitted", "A",
    ]
)  # fmt: skip
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


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(data=st.data())
def test_an_adapter_makes_pairs_or_refuses_the_row(kind, data):
    required = [name for one in SOURCES[kind].required for name in one.split(" or ")]
    columns = [*required, *ASKED_FOR.get(kind, ()), "prompt", "source", "id", "structure", *sorted(SHARED)]
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(columns, values)))
    check(kind, row)


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
