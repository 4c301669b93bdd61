import pytest
from tests_support import need_vllm

from transforms.engines.models import resolve_model
from transforms.engines.protocol import ScoreRequest
from transforms.engines.transformers_rewards import TransformersRewards
from transforms.errors import EngineError, ModelError

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]

EOT = 2  # also the checkpoint's pad_token_id
ROWS = [[5, 6, 7, EOT], [8] * 200 + [EOT, EOT], [9, 10], [EOT, 4, 3], [*range(30, 60), 0, 1, EOT]]


def requests(rows=ROWS):
    return [ScoreRequest(f"s{i}", ids) for i, ids in enumerate(rows)]


def vllm_rewards(folder):
    need_vllm()
    from transforms.engines.vllm_rewards import VllmRewards

    return VllmRewards(resolve_model(folder, engine="vllm", dtype="float32"), kv_cache_gib=0.5)


def test_raw_rewards_equal_those_of_transformers(tiny_reward, cache):
    engine = vllm_rewards(tiny_reward)
    seen = []
    found = engine.score(requests(), lambda n, tokens: seen.append((n, tokens)))
    with pytest.raises(EngineError, match="s0 has 513 tokens, but the reward model's context is 512"):
        engine.score(requests([[5] * 513]))
    engine.close()
    other = TransformersRewards(resolve_model(tiny_reward, engine="transformers", dtype="float32"))
    assert found == pytest.approx(other.score(requests()), abs=1e-3, rel=1e-4)
    assert sorted(seen) == sorted((1, len(ids)) for ids in ROWS)


def test_rewards_of_a_real_backbone_equal_those_of_transformers(tmp_path):
    import torch
    from transformers import LlamaForSequenceClassification

    from transforms.engines.starter_model import smollm2_folder

    torch.manual_seed(0)
    model = LlamaForSequenceClassification.from_pretrained(smollm2_folder(), num_labels=1, dtype=torch.float32)
    # Rewards of a trained head are larger than 1: a sigmoid would show.
    model.score.weight.data *= 20
    model.save_pretrained(tmp_path)
    for file in smollm2_folder().glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    other = TransformersRewards(resolve_model(tmp_path, engine="transformers", dtype="float32"))
    expected = other.score(requests())
    engine = vllm_rewards(tmp_path)
    found = engine.score(requests())
    engine.close()
    assert max(map(abs, expected)) > 1
    assert found == pytest.approx(expected, abs=1e-3, rel=1e-4)


def test_a_reward_model_that_was_trained_here_scores_as_in_transformers(tiny_policy, tmp_path, cache):
    import torch

    from trainers.rewards.checkpoint import new_head, open_policy, save_trained
    from trainers.steps.settings import Adapter
    from trainers.steps.trained_model import trainable

    model = open_policy(tiny_policy, dtype=torch.float32, device=torch.device("cpu")).model
    new_head(model, seed=0)
    adapted = trainable(model, adapter=Adapter(rank=2), seed=0, task="SEQ_CLS")
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zeros until a step is made
            torch.nn.init.normal_(parameter, std=0.1)
    save_trained(adapted, tiny_policy, dtype="float32", last_ids=[EOT], record={}, out=tmp_path / "reward")
    engine = vllm_rewards(tmp_path / "reward")
    found = engine.score(requests())
    engine.close()
    other = TransformersRewards(resolve_model(tmp_path / "reward", engine="transformers", dtype="float32"))
    assert found == pytest.approx(other.score(requests()), abs=1e-3, rel=1e-4)
    assert max(map(abs, found)) > 0.1


def test_a_causal_model_is_no_reward_model(tiny_policy, cache):
    with pytest.raises(ModelError, match="has the architecture LlamaForCausalLM"):
        vllm_rewards(tiny_policy)
