"""A reward is read at the last kept token, whatever the layout; its losses and figures are Bradley–Terry's."""

import math

import numpy as np
import pytest
import torch
from models_support import examples, ignore_spans
from rewards_support import small_classifier
from training_support import some_examples

from trainers.batches.packing import STATES, check_packing
from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.reading.examples import Example, pair_tokens
from trainers.reading.pair_tokens import PairTokens
from trainers.rewards.comparisons import (
    Comparisons,
    last_places,
    margins_of,
    read_to_the_end,
    reward_layout,
    rewards,
    values,
)
from trainers.steps.settings import Adapter, BradleyTerry
from trainers.steps.task import Read
from trainers.steps.trained_model import trainable
from transforms.errors import ModelError, SchemaError

CPU = torch.device("cpu")
PAIRS = some_examples(5, rewards=True)


def one_by_one(model: object, pairs: list[Example]) -> torch.Tensor:
    """What the classifier itself answers for prompt and kept tokens, nothing before or after them."""
    with torch.no_grad():
        answers = [
            model(torch.tensor(np.concatenate([pair.prompt, ids]), dtype=torch.long)[None]).logits[0, 0]  # type: ignore[operator]
            for pair in pairs
            for ids in pair.responses
        ]
    return torch.stack(answers)


def read(pairs: list[Example], terms: BradleyTerry | None = None, model: object = None) -> Read:
    task = Comparisons(pairs, terms or BradleyTerry(), layout=PADDED, batch_tokens=10_000)
    chosen = model or small_classifier()
    return task.read(lambda work: work(chosen), range(len(pairs)), CPU)


@pytest.mark.parametrize("layout", [PACKED, PADDED])
def test_rewards_are_those_of_the_classifier_on_prompt_and_kept_tokens(layout: Layout) -> None:
    model = small_classifier()
    found = rewards(model, layout.batch([read_to_the_end(pair) for pair in PAIRS]))
    torch.testing.assert_close(found.detach(), one_by_one(model, PAIRS))


def test_the_token_behind_the_last_is_never_read() -> None:
    pair = PAIRS[0]
    longer = read_to_the_end(pair)
    assert [ids[:-1].tolist() for ids in longer.responses] == [ids.tolist() for ids in pair.responses]
    assert PADDED.batch([longer]).read_tokens == 2 * len(pair.prompt) + pair.kept_tokens
    assert PACKED.batch([longer]).read_tokens == len(pair.prompt) + pair.kept_tokens


def test_losses_and_figures_by_hand() -> None:
    model = small_classifier()
    answers = one_by_one(model, PAIRS).double()
    margin = answers[::2] - answers[1::2]
    found = read(PAIRS, model=model)
    torch.testing.assert_close(found.losses.detach(), torch.log1p((-margin).exp()))
    assert found.figures["accuracy"].tolist() == (margin > 0).double().tolist()
    torch.testing.assert_close(found.figures["margin"], margin)
    torch.testing.assert_close(found.figures["mean_reward"], answers)
    assert found.kept_tokens == sum(pair.kept_tokens for pair in PAIRS)
    assert found.names == [pair.name for pair in PAIRS]


def test_ties_cost_ln_2_and_are_half_right() -> None:
    model = small_classifier()
    torch.nn.init.zeros_(model.score.weight)
    found = read(PAIRS, model=model)
    assert found.losses.tolist() == pytest.approx([math.log(2)] * 5)
    assert found.figures["accuracy"].tolist() == [0.5] * 5


def test_a_margin_is_a_constant_or_the_difference_of_rewards_and_centring_the_squared_sum() -> None:
    model = small_classifier()
    plain = read(PAIRS, model=model)
    gap, total = plain.figures["margin"], plain.figures["mean_reward"].reshape(-1, 2).sum(1)
    of_rewards = torch.tensor([better - worse for better, worse in (pair.rewards or () for pair in PAIRS)])
    for terms, expected in (
        (BradleyTerry(margin=0.7), torch.log1p((0.7 - gap).exp())),
        (BradleyTerry(margin="reward"), torch.log1p((of_rewards.double() - gap).exp())),
        (BradleyTerry(centring=0.1), torch.log1p((-gap).exp()) + 0.1 * total.square()),
    ):
        torch.testing.assert_close(read(PAIRS, terms, model).losses.detach(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("layout", [PACKED, PADDED])
def test_a_coherent_reward_model_reads_every_prefix_as_if_it_were_the_whole_response(layout: Layout) -> None:
    model = small_classifier()
    batch = layout.batch([read_to_the_end(pair) for pair in PAIRS])
    found = values(model, batch).detach().split(batch.lengths)
    responses = [(pair, ids) for pair in PAIRS for ids in pair.responses]
    for (pair, ids), read_here in zip(responses, found, strict=True):
        prefixes = [np.concatenate([pair.prompt, ids[:length]]) for length in range(len(ids) + 1)]
        with torch.no_grad():
            alone = [model(torch.tensor(prefix, dtype=torch.long)[None]).logits[0, 0] for prefix in prefixes]
        torch.testing.assert_close(read_here, torch.stack(alone))
    torch.testing.assert_close(values(model, batch)[last_places(batch)], rewards(model, batch))


def test_the_regularizer_adds_what_prefixes_are_off_by_of_both_responses() -> None:
    model = small_classifier()
    plain = read(PAIRS, model=model)
    found = read(PAIRS, BradleyTerry(regularizer="temporally_coherent", lookahead=0.5, smoothness=2.0), model)
    ahead, steps = (found.figures[name].reshape(-1, 2).mean(1) for name in ("lookahead", "smoothness"))
    assert (ahead > 0).all() and (steps > 0).all()
    torch.testing.assert_close(found.losses.detach(), plain.losses.detach() + 0.5 * ahead + 2 * steps)
    for name, values_ in plain.figures.items():
        torch.testing.assert_close(found.figures[name], values_)


def test_weights_of_a_regularizer_that_is_not_asked_for_change_no_identity() -> None:
    assert "regularizer" not in BradleyTerry().settings()
    assert BradleyTerry(lookahead=3).settings() == BradleyTerry().settings() == {"margin": None, "centring": 0.0}
    assert BradleyTerry(regularizer="temporally_coherent").settings()["lookahead"] == 0.1


def test_identity_tells_margins_settings_and_data_apart() -> None:
    def identity(pairs: list[Example], **terms: object) -> dict[str, object]:
        return Comparisons(pairs, BradleyTerry(**terms), layout=PADDED, batch_tokens=1).identity

    assert identity(PAIRS) == identity(list(PAIRS))
    assert identity(PAIRS) != identity(PAIRS[::-1])
    assert identity(PAIRS) != identity(PAIRS, centring=0.1)
    assert identity(PAIRS, margin="reward") != identity(some_examples(5), margin=1.0)


def test_pairs_are_packed_where_the_classifier_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_classifier(torch.float32)
    assert reward_layout(model, examples((40, 5, 6))).layout is PACKED
    ignore_spans(monkeypatch)
    with pytest.raises(ModelError, match="reads packed responses differently from single ones: last hidden states"):
        check_packing(model, longest=100, probe=STATES)
    assert reward_layout(model, examples((40, 5, 6))).layout is PADDED


def test_an_adapter_begins_where_the_model_was_and_the_head_learns_in_fp32() -> None:
    model = small_classifier(torch.bfloat16)
    batch = PADDED.batch([read_to_the_end(pair) for pair in PAIRS])
    before = rewards(model, batch)
    assert before.dtype == torch.float32
    adapted = trainable(model, adapter=Adapter(rank=2), seed=0, task="SEQ_CLS")
    torch.testing.assert_close(rewards(adapted, batch), before)
    learning = {name: p.dtype for name, p in adapted.named_parameters() if p.requires_grad}
    assert set(learning.values()) == {torch.float32}
    assert [name for name in learning if "score" in name] == ["base_model.model.score.modules_to_save.default.weight"]


def test_a_head_sees_the_same_pairs_as_the_steps_do() -> None:
    found = pair_tokens(PAIRS, margins_of(PAIRS, BradleyTerry(margin="reward")))
    assert isinstance(found, PairTokens)
    by_name = dict(zip(found.names, range(5), strict=True))
    for pair in PAIRS:
        row = by_name[pair.name]
        for side, ids in zip((found.chosen, found.rejected), pair.responses, strict=True):
            assert found.sequences[side[row]].tolist() == [*pair.prompt.tolist(), *ids.tolist()]
        assert found.margin is not None
        assert found.margin[row] == pytest.approx(pair.rewards[0] - pair.rewards[1])  # type: ignore[index]


def test_what_cannot_be_compared_is_named() -> None:
    with pytest.raises(SchemaError, match=r"1 examples have not two responses: pair-0"):
        margins_of(some_examples(1, responses=3), BradleyTerry())
    with pytest.raises(SchemaError, match=r"margin reward is a difference of rewards, and 2 pairs have none: pair-0"):
        margins_of(some_examples(2), BradleyTerry(margin="reward"))
