import json
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from transforms.engines.models import resolve_model
from transforms.engines.protocol import ScoreRequest
from transforms.engines.transformers_rewards import TransformersRewards, _pad_id
from transforms.errors import EngineError, ModelError

EOT = 2  # also the checkpoint's pad_token_id
ROWS = [[5, 6, 7, EOT], [8] * 20 + [EOT, EOT], [9, 10], [EOT, 4, 3], [*range(30, 60), 0, 1, EOT]]


def resolved(folder, dtype="float32"):
    return resolve_model(folder, engine="transformers", dtype=dtype)


@pytest.fixture
def engine(tiny_reward):
    return TransformersRewards(resolved(tiny_reward))


def requests(rows=ROWS):
    return [ScoreRequest(f"s{i}", ids) for i, ids in enumerate(rows)]


def reward_by_hand(engine, ids):
    """The head on the last token's hidden state, one row, no padding."""
    with torch.inference_mode():
        hidden = engine._model.model(torch.tensor([ids])).last_hidden_state
        return engine._model.score(hidden)[0, -1, 0].item()


def test_each_row_is_pooled_at_its_own_last_token_also_where_that_is_the_padding(engine):
    assert engine.score(requests()) == pytest.approx([reward_by_hand(engine, ids) for ids in ROWS], abs=1e-5)


def test_batches_and_order_do_not_change_rewards(tiny_reward, engine):
    one_by_one = TransformersRewards(resolved(tiny_reward), max_tokens_per_batch=1)
    expected = engine.score(requests())
    assert one_by_one.score(requests()) == pytest.approx(expected, abs=1e-5)
    assert engine.score(requests(ROWS[::-1])) == pytest.approx(expected[::-1], abs=1e-5)


def test_no_row_ends_in_the_padding():
    assert _pad_id([[7, 0], [1], [3]]) == 2


def test_progress_counts_rows_and_tokens(engine):
    seen = Counter()
    engine.score(requests(), lambda n, tokens: seen.update(requests=n, tokens=tokens))
    assert seen == {"requests": 5, "tokens": sum(map(len, ROWS))}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("score.weight", r"lacks weights: score\.weight"),
        ("model.norm.weight", r"lacks weights: model\.norm\.weight"),
    ],
)
def test_a_checkpoint_without_its_head_is_refused_and_not_scored_at_random(tiny_reward, tmp_path, key, message):
    with pytest.raises(ModelError, match=message):
        TransformersRewards(resolved(changed_weights(tiny_reward, tmp_path, drop=key)))


def test_weights_that_the_class_ignores_are_refused(tiny_reward, tmp_path):
    folder = changed_weights(tiny_reward, tmp_path, add="regression_layer.weight")
    with pytest.raises(ModelError, match=r"has unknown weights: regression_layer\.weight"):
        TransformersRewards(resolved(folder))


def test_a_left_over_language_model_head_is_harmless(tiny_reward, tmp_path, engine):
    folder = changed_weights(tiny_reward, tmp_path, add="lm_head.weight")
    assert TransformersRewards(resolved(folder)).score(requests()) == engine.score(requests())


def test_a_causal_model_is_no_reward_model(tiny_policy):
    with pytest.raises(ModelError, match="has the architecture LlamaForCausalLM, expected one that ends in"):
        TransformersRewards(resolved(tiny_policy))


def test_another_class_than_the_checkpoint_names_is_refused(tiny_reward, tmp_path):
    folder = changed_config(tiny_reward, tmp_path, architectures=["LlamaGatedForSequenceClassification"])
    with pytest.raises(ModelError, match=r"was loaded as LlamaForSequenceClassification.*trust_remote_code: true"):
        TransformersRewards(resolved(folder))


def test_several_outputs_are_refused(tiny_reward, tmp_path):
    labels = {str(i): f"LABEL_{i}" for i in range(3)}
    folder = changed_config(tiny_reward, tmp_path, id2label=labels, label2id={v: k for k, v in labels.items()})
    with pytest.raises(ModelError, match="has 3 outputs"):
        TransformersRewards(resolved(folder))


def test_no_number_is_returned_as_it_is(engine):
    engine._model.score.weight.data.fill_(math.nan)
    assert all(math.isnan(reward) for reward in engine.score(requests()))


def test_an_output_of_another_shape_is_an_engine_error(engine, monkeypatch):
    def wide(input_ids, attention_mask):
        return SimpleNamespace(logits=torch.zeros(len(input_ids), 2))

    wide.config = engine._model.config
    monkeypatch.setattr(engine, "_model", wide)
    with pytest.raises(EngineError, match=r"shape \(5, 2\) for 5 rows, expected one number a row"):
        engine.score(requests())


def test_a_conversation_beyond_the_context_is_refused(engine):
    with pytest.raises(EngineError, match="s0 has 513 tokens, but the reward model's context is 512"):
        engine.score(requests([[5] * 513]))


def test_a_closed_engine_says_so(engine):
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.score(requests())


def changed_weights(source, folder, *, drop=None, add=None):
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    weights = {key: value for key, value in weights.items() if key != drop}
    if add is not None:
        weights[add] = torch.zeros(320, 64)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return folder


def changed_config(source, folder, **values):
    content = json.loads((source / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    return folder


def test_a_checkpoint_with_cut_weights_is_a_model_error(tiny_reward, tmp_path, cache):
    for file in tiny_reward.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    with pytest.raises(ModelError, match=r"the reward model .*: SafetensorError: "):
        TransformersRewards(resolve_model(tmp_path, engine="transformers", dtype="float32"))
