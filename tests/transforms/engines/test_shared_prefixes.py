"""Conversations that begin alike are read once up to where they part, and get the rewards that each gets by itself."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transforms.engines import transformers_rewards as engine_module
from transforms.engines.common_beginnings import Group, Nest, alike_together, groups_of, nests_of
from transforms.engines.models import resolve_model
from transforms.engines.protocol import ScoreRequest
from transforms.engines.shared_prefixes import batches_of
from transforms.engines.transformers_rewards import TransformersRewards
from transforms.errors import EngineError

PROMPT, PREFIX = [*range(5, 25)], [*range(30, 60)]
# Two prefixes of one prompt, five completions each of different lengths, and two that begin like nothing else.
COMPLETIONS = [
    *[[*PROMPT, *PREFIX, *range(60 + i, 60 + 2 * i + 3)] for i in range(5)],
    *[[*PROMPT, *PREFIX[::-1], *range(90 + i, 90 + 2 * i + 3)] for i in range(5)],
]
ROWS = [[7, 8, 9], *COMPLETIONS[::2], [*range(100, 140)], *COMPLETIONS[1::2]]


def requests(rows=ROWS):
    return [ScoreRequest(f"s{i}", ids) for i, ids in enumerate(rows)]


@pytest.fixture
def engine(tiny_reward):
    return TransformersRewards(resolve_model(tiny_reward, engine="transformers", dtype="float32"))


def by_itself(engine, rows=ROWS):
    return [engine._forward([ids])[0] for ids in rows]


@pytest.fixture
def read(engine, monkeypatch):
    """Tokens that went through the model, padding included."""
    found = []
    forward = engine._model.model.forward

    def counted(input_ids=None, **rest):
        found.append(input_ids.numel())
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(engine._model.model, "forward", counted)
    return found


def test_completions_of_one_prefix_get_the_rewards_that_each_gets_by_itself(engine):
    assert engine.score(requests()) == pytest.approx(by_itself(engine), abs=1e-5)
    assert engine._shares is True


@pytest.mark.parametrize("budget", [1, 60, 200])
def test_the_budget_changes_no_reward(tiny_reward, engine, budget):
    small = TransformersRewards(resolved(tiny_reward), max_tokens_per_batch=budget)
    assert small.score(requests()) == pytest.approx(by_itself(engine), abs=1e-5)


def resolved(folder):
    return resolve_model(folder, engine="transformers", dtype="float32")


def test_a_prefix_is_read_once(engine, read):
    rows = [[*PROMPT, *PREFIX, 70 + i, 80 + i] for i in range(8)]
    engine.score(requests(rows))
    read.clear()  # the first group was also tried against each row by itself
    engine.score(requests(rows))
    assert read == [50, 8 * 2]


def test_rows_that_share_too_little_are_read_as_ever(engine, read):
    rows = [[*range(5, 15), 100 + i, *range(40)] for i in range(4)]
    engine.score(requests(rows))
    assert read == [4 * 51]
    assert engine._shares is None  # nothing was tried


def test_equal_conversations_share_all_but_their_last_token(engine):
    rows = [[*PROMPT, *PREFIX]] * 3
    assert groups_of(rows) == ([Group((0, 1, 2), 49)], [])
    assert engine.score(requests(rows)) == pytest.approx(by_itself(engine, rows), abs=1e-5)


def test_a_model_that_answers_otherwise_reads_each_conversation_by_itself(engine, monkeypatch, caplog):
    expected = by_itself(engine)
    right = engine_module.read_shared
    monkeypatch.setattr(engine_module, "read_shared", lambda *arguments: right(*arguments) + 0.01)
    with caplog.at_level(logging.INFO):
        assert engine.score(requests()) == pytest.approx(expected, abs=1e-5)
    assert engine._shares is False
    assert "reads each conversation by itself: together they are" in caplog.text


def test_a_model_that_fails_at_it_reads_each_conversation_by_itself(engine, monkeypatch, caplog):
    def failing(*_):
        raise RuntimeError("no such cache")

    monkeypatch.setattr(engine_module, "read_shared", failing)
    with caplog.at_level(logging.INFO):
        assert engine.score(requests()) == pytest.approx(by_itself(engine), abs=1e-5)
    assert "reads each conversation by itself: no such cache" in caplog.text


def test_a_model_with_a_sliding_window_is_not_tried(engine, monkeypatch):
    text = engine._model.config.get_text_config()
    assert engine_module._may_share(engine._model, text)
    monkeypatch.setattr(text, "sliding_window", 4096, raising=False)
    assert not engine_module._may_share(engine._model, text)
    assert not engine_module._may_share(torch.nn.Linear(1, 1), engine._model.config)


def test_progress_counts_every_conversation_once_also_where_sharing_fails(engine, monkeypatch):
    def failing(*_):
        raise RuntimeError("no such cache")

    for fails in (False, True):
        seen = [0, 0]

        def count(rows, tokens, seen=seen):
            seen[0] += rows
            seen[1] += tokens

        if fails:
            monkeypatch.setattr(engine, "_read_together", failing)
        engine.score(requests(), count)
        assert seen == [len(ROWS), sum(map(len, ROWS))]


tokens = st.integers(0, 2)
conversations = st.lists(
    st.one_of(
        st.lists(tokens, min_size=1, max_size=40),
        st.builds(lambda start, rest: [start] * 20 + rest, tokens, st.lists(tokens, min_size=1, max_size=20)),
    ),
    max_size=20,
)


@given(conversations)
def test_groups_hold_each_row_once_and_what_they_share_is_shared(rows):
    groups, alone = groups_of(rows)
    assert sorted([*alone, *(row for group in groups for row in group.rows)]) == list(range(len(rows)))
    for group in groups:
        assert len(group.rows) > 1
        assert len({tuple(rows[row][: group.common]) for row in group.rows}) == 1
        assert all(len(rows[row]) > group.common for row in group.rows)
        whole = sum(len(rows[row]) for row in group.rows)
        assert whole - (len(group.rows) - 1) * group.common <= 0.8 * whole


@given(conversations, st.integers(1, 300))
def test_batches_hold_each_grouped_row_once_within_the_budget(rows, budget):
    groups, _ = groups_of(rows)
    batches = list(batches_of(groups, rows, budget))
    held = [row for batch in batches for group in batch for row in group.rows]
    assert sorted(held) == sorted(row for group in groups for row in group.rows)
    for batch in batches:
        deepest = max(len(rows[row]) - group.common for group in batch for row in group.rows)
        count = sum(len(group.rows) for group in batch)
        assert count == 1 or count * (max(group.common for group in batch) + deepest) <= budget


NESTED = [[7, 8, 9], [*PROMPT, *PREFIX], [*PROMPT, 30], [*PROMPT, *PREFIX, 80, 81], [*range(100, 140)], [*PROMPT, 99]]


def test_beginnings_of_a_conversation_get_their_own_rewards_from_one_reading_of_it(engine, read):
    expected = by_itself(engine, NESTED)
    assert engine.score(requests(NESTED)) == pytest.approx(expected, abs=1e-5)
    assert engine._nests is True
    read.clear()
    assert engine.score(requests(NESTED)) == pytest.approx(expected, abs=1e-5)
    assert read == [52, 3 * 40]  # the longest of the nest; the three others padded to the longest of them


def test_a_model_whose_head_reads_no_state_in_the_middle_reads_beginnings_by_themselves(engine, monkeypatch, caplog):
    expected = by_itself(engine, NESTED)
    right = engine._read_within
    monkeypatch.setattr(engine, "_read_within", lambda *given: [one + 0.01 for one in right(*given)])
    with caplog.at_level(logging.INFO):
        assert engine.score(requests(NESTED)) == pytest.approx(expected, abs=1e-5)
    assert engine._nests is False
    assert "reads each conversation by itself: together they are" in caplog.text


def test_a_model_that_fails_in_the_middle_reads_beginnings_by_themselves(engine, monkeypatch):
    def failing(*_):
        raise RuntimeError("no such state")

    seen = []
    monkeypatch.setattr(engine, "_read_within", failing)
    found = engine.score(requests(NESTED), lambda rows, tokens: seen.append((rows, tokens)))
    assert found == pytest.approx(by_itself(engine, NESTED), abs=1e-5)
    assert [sum(each) for each in zip(*seen, strict=True)] == [len(NESTED), sum(map(len, NESTED))]


def test_equal_conversations_are_in_no_nest():
    assert nests_of([[1, 2], [1, 2], [3]]) == ([], [0, 1, 2])
    assert nests_of([[1, 2], [1], [1], [3]]) == ([Nest(0, (1, 2))], [3])
    assert nests_of([[4]]) == ([], [0])
    assert nests_of([]) == ([], [])


@given(conversations)
def test_nests_hold_each_row_once_and_every_row_that_is_the_beginning_of_another(rows):
    nests, rest = nests_of(rows)
    assert sorted([*rest, *(row for nest in nests for row in (nest.host, *nest.inner))]) == list(range(len(rows)))
    for nest in nests:
        assert nest.inner
        for row in nest.inner:
            assert rows[nest.host][: len(rows[row])] == rows[row] != rows[nest.host]
    hosts = {nest.host for nest in nests}
    for row in {*rest, *hosts}:
        assert not any(len(other) > len(rows[row]) and other[: len(rows[row])] == rows[row] for other in rows)


@given(conversations)
def test_an_order_for_batches_keeps_groups_together_and_lone_rows_by_length(rows):
    order = alike_together(rows)
    assert sorted(order) == list(range(len(rows)))
    groups, alone = groups_of(rows)
    for group in groups:
        first = order.index(group.rows[0])
        assert tuple(order[first : first + len(group.rows)]) == group.rows
    lengths = [len(rows[row]) for row in order if row in alone]
    assert lengths == sorted(lengths)


def test_a_system_prompt_that_all_share_leaves_rows_of_like_length_together():
    rows = [[*range(60), 100 + number, *[7] * (number * 37 % 101)] for number in range(96)]
    assert len(groups_of(rows)[0]) == 1  # to read together, for it saves most
    batches = [alike_together(rows)[start : start + 32] for start in range(0, 96, 32)]
    padded = sum(32 * max(len(rows[row]) for row in batch) for batch in batches)
    assert padded < 1.35 * sum(map(len, rows))


@pytest.mark.parametrize("budget", [1, 60, 200])
def test_the_budget_changes_no_reward_of_a_beginning(tiny_reward, engine, budget):
    small = TransformersRewards(resolved(tiny_reward), max_tokens_per_batch=budget)
    assert small.score(requests(NESTED)) == pytest.approx(by_itself(engine, NESTED), abs=1e-5)
    assert small._nests is True


def test_what_is_tried_stays_within_the_budget(tiny_reward, monkeypatch):
    small = TransformersRewards(resolved(tiny_reward), max_tokens_per_batch=300)
    forward, padded = small._forward, []
    monkeypatch.setattr(small, "_forward", lambda rows: padded.append(len(rows) * max(map(len, rows))) or forward(rows))
    small.score(requests([[*PROMPT, *PREFIX, *range(70, 70 + i)] for i in range(12)]))
    assert max(padded) <= 300


def test_a_trial_that_fails_leaves_each_conversation_to_itself(engine, monkeypatch):
    forward = engine._forward

    def failing(rows):
        if len(rows) > 1 and engine._nests is None:
            raise EngineError("out of memory")
        return forward(rows)

    expected = by_itself(engine, NESTED)
    monkeypatch.setattr(engine, "_forward", failing)
    assert engine.score(requests(NESTED)) == pytest.approx(expected, abs=1e-5)
    assert engine._nests is False


def test_a_batch_without_memory_is_read_by_itself_and_the_next_one_together(engine, monkeypatch):
    right = engine._read_within
    engine.score(requests(NESTED))  # tried
    calls = []

    def first_fails(nests, ids):
        calls.append(len(nests))
        if len(calls) == 1:
            raise torch.OutOfMemoryError
        return right(nests, ids)

    monkeypatch.setattr(engine, "_read_within", first_fails)
    for _ in range(2):
        assert engine.score(requests(NESTED)) == pytest.approx(by_itself(engine, NESTED), abs=1e-5)
    assert engine._nests is True and len(calls) == 2


@pytest.mark.parametrize(
    ("kind", "fixed"), [("default", True), ("llama3", True), ("dynamic", False), ("longrope", False)]
)
def test_places_that_move_with_the_longest_row_are_shared_by_none(engine, monkeypatch, kind, fixed):
    text = engine._model.config.get_text_config()
    monkeypatch.setattr(text, "rope_parameters", {"rope_type": kind, "rope_theta": 10000.0}, raising=False)
    assert engine_module._places_are_fixed(text) is fixed


def test_an_encoder_has_no_values_in_the_middle():
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    assert not engine_module._has_values(BertForSequenceClassification(BertConfig(vocab_size=20, **sizes)))
