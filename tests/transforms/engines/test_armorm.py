"""ArmoRM natively: the published head over hidden states, read where the published code reads them."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import torch
from families import family
from reward_models import OBJECTIVES, armorm_config, changed, llama3, save_armorm
from safetensors.torch import load_file

from transforms.chat.conversation import Asked
from transforms.chat.turn import answer
from transforms.engines.armorm import ArmoRm
from transforms.engines.models import resolve_model
from transforms.engines.objectives import (
    ARMORM_OBJECTIVES,
    gating_position,
    gating_tokens,
    objective_names,
)
from transforms.engines.protocol import ObjectiveRewardEngine, ScoreRequest
from transforms.engines.reward_inputs import RewardInputs
from transforms.engines.select import open_rewards
from transforms.engines.transformers_rewards import TransformersRewards
from transforms.errors import EngineError, ModelError

# float32, values of order 1: passes of another shape take other kernels, and differed by 1.6e-6 on another machine.
SINGLE = {"abs": 1e-5, "rel": 1e-5}
TURNS = [
    [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat on the mat"}],
    [
        {"role": "system", "content": "one two"},
        {"role": "user", "content": "and the dog?"},
        {"role": "assistant", "content": "ran to the river"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four five six seven, and the dog ran"},
    ],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}],
]


def resolved(folder, **options):
    return resolve_model(folder, **{"engine": "transformers", "dtype": "float32"} | options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_armorm(tmp_path_factory.mktemp("armorm") / "tiny-armorm")


@pytest.fixture(scope="module")
def engine(folder):
    return ArmoRm(resolved(folder))


@pytest.fixture(scope="module")
def rows():
    texts = llama3().apply_chat_template(TURNS, tokenize=False)
    return llama3()(texts, add_special_tokens=False)["input_ids"]


def requests(rows):
    return [ScoreRequest(f"s{i}", ids) for i, ids in enumerate(rows)]


def last_header(ids):
    """By the marks, not by the engine's search: the <|eot_id|> before the last header."""
    start = llama3().convert_tokens_to_ids("<|start_header_id|>")
    place = max(i for i, token in enumerate(ids) if token == start) - 1
    assert llama3().decode(ids[place]) == "<|eot_id|>"
    return place


def by_hand(folder, ids, place):
    """(reward, objectives) of one row without padding, the head in Python floats, loop by loop."""
    from transformers import LlamaConfig, LlamaModel

    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    known = {key: config[key] for key in config if key not in ("architectures", "auto_map", "torch_dtype")}
    base = LlamaModel(LlamaConfig(**known)).eval()
    base.load_state_dict({n.removeprefix("model."): t for n, t in weights.items() if n.startswith("model.")})
    with torch.no_grad():
        hidden = base(torch.tensor([ids])).last_hidden_state[0].double().tolist()
    objectives = [
        sum(w * h for w, h in zip(row, hidden[-1], strict=True)) for row in weights["regression_layer.weight"].tolist()
    ]
    state = hidden[place]
    for layer in range(config["gating_n_hidden"] + 1):
        rows, bias = weights[f"gating.layers.{layer}.weight"].tolist(), weights[f"gating.layers.{layer}.bias"].tolist()
        state = [sum(w * s for w, s in zip(row, state, strict=True)) + b for row, b in zip(rows, bias, strict=True)]
        if layer < config["gating_n_hidden"]:
            state = [max(value, 0.0) for value in state]
    shares = [math.exp(value / config["gating_temperature"]) for value in state]
    gates = [weights["gating.logit_scale"].item() * share / sum(shares) for share in shares]
    matrix = weights["reward_transform_matrix"].tolist()
    count = range(config["num_objectives"])
    adjusted = [sum(objectives[i] * matrix[i][j] for i in count) for j in count]
    return sum(gates[j] * adjusted[j] for j in count), objectives


def test_rewards_and_objectives_are_those_of_the_published_equations(folder, engine, rows):
    for found, ids in zip(engine.score_objectives(requests(rows)), rows, strict=True):
        reward, objectives = by_hand(folder, ids, last_header(ids))
        assert found.reward == pytest.approx(reward, **SINGLE)
        assert found.values == pytest.approx(objectives, **SINGLE)


def test_padding_batches_and_order_change_nothing(folder, engine, rows):
    alone = ArmoRm(resolved(folder), max_tokens_per_batch=1).score_objectives(requests(rows))
    for one, many in zip(alone, engine.score_objectives(requests(rows)), strict=True):
        assert many.reward == pytest.approx(one.reward, **SINGLE)
        assert many.values == pytest.approx(one.values, **SINGLE)
    turned = [one.reward for one in alone[::-1]]
    assert engine.score(requests(rows[::-1])) == pytest.approx(turned, **SINGLE)


def test_the_configs_padding_token_means_nothing(engine, rows, folder):
    padding = json.loads((folder / "config.json").read_text())["pad_token_id"]
    spelled = [*rows[0], padding, *rows[0][-2:]]  # the published code would read at the token before it
    [found] = engine.score(requests([spelled]))
    assert found == pytest.approx(by_hand(folder, spelled, last_header(spelled))[0], **SINGLE)


def test_weights_follow_from_the_prompt_alone(engine, rows):
    head = rows[1][: last_header(rows[1]) + 5]
    one, other = engine.score_objectives(requests([[*head, *rows[1][-6:]], [*head, *rows[0][-3:]]]))
    matrix, gating = engine._model.reward_transform_matrix, engine._model.gating
    with torch.no_grad():
        hidden = engine._model.model(torch.tensor([head])).last_hidden_state[0, -5]
        gates = gating(hidden[None])[0]
        for found in (one, other):
            assert found.reward == pytest.approx((gates @ (torch.tensor(found.values) @ matrix)).item(), abs=1e-5)
    assert one.reward != pytest.approx(other.reward)


def test_the_gating_token_is_the_end_of_the_turn_before_the_last_answer(rows):
    tokens = gating_tokens(lambda text: llama3()(text, add_special_tokens=False)["input_ids"], "m")
    assert llama3().convert_ids_to_tokens(tokens)[:4:3] == ["<|eot_id|>", "<|end_header_id|>"]
    assert [gating_position(ids, tokens) for ids in rows] == [last_header(ids) for ids in rows]
    assert sum(rows[1][i : i + 4] == tokens[:4] for i in range(len(rows[1]))) == 2  # two answers, and the last counts


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([9, 1, 2, 3, 4, 5, 7], 1),
        ([1, 2, 3, 4, 5, 8, 1, 2, 3, 4, 5], 6),
        ([1, 2, 3, 4], None),
        ([1, 2, 3, 4, 6], None),
        ([1, 2, 3, 4, 5, 8, 1, 2, 3, 4, 6], None),  # the last header runs on into the answer
        ([], None),
    ],
)
def test_the_last_header_counts_and_no_other(ids, expected):
    assert gating_position(ids, [1, 2, 3, 4, 5]) == expected


def test_a_tokenizer_without_llama_3s_marks_is_refused(tokenizer):
    with pytest.raises(ModelError, match=r"the tokenizer of m writes .* in \d+ tokens, expected 5 as Llama 3's does"):
        gating_tokens(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"], "m")


def test_a_conversation_without_a_header_is_an_engine_error_that_names_it(engine, rows):
    with pytest.raises(EngineError, match="request s1 has no header of an answer"):
        engine.score(requests([rows[0], rows[0][5:8]]))


def test_reward_inputs_say_of_a_conversation_why_it_cannot_be_scored(folder):
    asked, turns = [Asked(TURNS[0][:1])], [answer("sat on the mat")]
    inputs = RewardInputs(folder)
    [ids] = inputs.token_ids(asked, turns)
    assert gating_position(ids, inputs._gating) == last_header(ids)
    chatml = family("chatml, Qwen's splitting").template
    [why] = RewardInputs(folder, template=chatml).token_ids(asked, turns)
    assert why.startswith("the reward model ")
    assert "weighs its objectives at '<|eot_id|><|start_header_id|>assistant" in why


def test_the_published_config_needs_no_remote_code(folder, monkeypatch):
    config = json.loads((folder / "config.json").read_text())
    assert config["auto_map"]
    assert config.keys() == armorm_config().keys()
    monkeypatch.setattr("transformers.dynamic_module_utils.get_class_from_dynamic_module", pytest.fail)
    model = resolved(folder)
    opened = open_rewards(model)
    assert isinstance(opened, ArmoRm)
    assert isinstance(opened, ObjectiveRewardEngine)
    assert opened.objectives == objective_names(model) == ARMORM_OBJECTIVES


def test_a_plain_reward_model_has_no_objectives(tiny_reward):
    model = resolved(tiny_reward)
    opened = open_rewards(model)
    assert isinstance(opened, TransformersRewards)
    assert not isinstance(opened, ObjectiveRewardEngine)
    assert objective_names(model) == ()


def test_objectives_have_names_that_columns_can_have():
    assert len(set(ARMORM_OBJECTIVES)) == OBJECTIVES
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz_-") for name in ARMORM_OBJECTIVES)


def test_another_number_of_objectives_has_names_by_number_and_is_scored(tmp_path, rows):
    folder = save_armorm(tmp_path / "three", num_objectives=3, gating_n_hidden=1, gating_temperature=2.5)
    assert objective_names(resolved(folder)) == ("objective-0", "objective-1", "objective-2")
    [found] = ArmoRm(resolved(folder)).score_objectives(requests(rows[:1]))
    reward, objectives = by_hand(folder, rows[0], last_header(rows[0]))
    assert found.reward == pytest.approx(reward, **SINGLE)
    assert found.values == pytest.approx(objectives, **SINGLE)


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        ("gating.logit_scale", {}, r"lacks weights: gating\.logit_scale\."),
        ("model.norm.weight", {}, r"lacks weights: model\.norm\.weight\."),
        ("regression_layer.weight", {"regression__weight": torch.zeros(19, 32)},
         r"lacks weights: regression_layer\.weight and has unknown weights: regression\.weight\."),
        (None, {"reward_transform_matrix": torch.zeros(18, 18)}, r"has misshapen weights: reward_transform_matrix\."),
        (None, {"gating__layers__4__weight": torch.zeros(19, 24)}, r"unknown weights: gating\.layers\.4\.weight\."),
        (None, {"regression_layer__bias": torch.zeros(19)}, r"has unknown weights: regression_layer\.bias\."),
    ],
)  # fmt: skip
def test_a_checkpoint_with_other_tensors_is_refused_by_their_names(folder, tmp_path, drop, add, message):
    with pytest.raises(ModelError, match=message):
        open_rewards(resolved(changed(folder, tmp_path / "changed", drop=drop, **add)))


def test_quantiles_under_the_same_class_name_are_refused(tmp_path):
    folder = save_armorm(tmp_path / "qrm", num_quantiles=19)
    assert objective_names(resolved(folder)) == ()
    with pytest.raises(ModelError, match="LlamaForRewardModelWithGating"):
        open_rewards(resolved(folder))
    with pytest.raises(ModelError, match="QRM"):
        ArmoRm(resolved(folder))


def test_vllm_refuses_it_in_one_sentence(folder):
    from transforms.engines.reward_checks import reward_config

    with pytest.raises(ModelError, match=r"gating network vLLM does not have: set reward\.engine: transformers$"):
        reward_config(resolved(folder, engine="vllm"), trust_remote_code=False)


def test_the_head_stays_in_float32_beside_a_bfloat16_model(folder, engine, rows):
    half = ArmoRm(resolved(folder, dtype="bfloat16"))
    kinds = {name: tensor.dtype for name, tensor in half._model.named_parameters()}
    assert {kinds.pop(name) for name in list(kinds) if not name.startswith("model.")} == {torch.float32}
    assert set(kinds.values()) == {torch.bfloat16}
    trained = load_file(folder / "model.safetensors")["regression_layer.weight"]
    assert torch.equal(half._model.regression_layer.weight.cpu(), trained)  # and is not rounded on its way
    assert np.corrcoef(half.score(requests(rows)), engine.score(requests(rows)))[0, 1] > 0.9


def test_progress_counts_rows_and_tokens(engine, rows):
    seen = Counter()
    engine.score(requests(rows), lambda n, tokens: seen.update(requests=n, tokens=tokens))
    assert seen == {"requests": 3, "tokens": sum(map(len, rows))}


def test_a_closed_engine_says_so(folder, rows):
    engine = ArmoRm(resolved(folder))
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.score(requests(rows))


def test_a_config_that_is_no_object_or_not_there_is_one_message(tmp_path):
    from transforms.engines.objectives import config_json

    with pytest.raises(ModelError, match=r"the config of .* cannot be read: FileNotFoundError"):
        config_json(tmp_path, None)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ModelError, match="is list, expected a JSON object"):
        config_json(tmp_path, None)
