"""The vLLM column of docs/reference/reward-models.md: what loads there scores as in transformers."""

import pytest
import torch
from reward_families import FAMILIES, LOADS, NAME
from tests_support import need_vllm
from transformers import AutoModelForSequenceClassification

from transforms.engines.models import resolve_model
from transforms.engines.protocol import ScoreRequest
from transforms.engines.select import open_rewards
from transforms.errors import ModelError

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]

NAMES = [family.models.partition(",")[0] for family in FAMILIES]
ROWS = [[5, 6, 7, 2], [*range(30, 60), 0, 1, 2], [9, 10]]


def scores(folder, engine, **options):
    model = open_rewards(resolve_model(folder, engine=engine, dtype="float32"), **options)
    try:
        return model.score([ScoreRequest(f"s{i}", ids) for i, ids in enumerate(ROWS)])
    finally:
        model.close()


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_what_becomes_of_a_family_in_vllm_is_what_the_page_says(family, tmp_path, cache):
    need_vllm()
    folder = family.save(tmp_path / NAME)
    if family.vllm == LOADS:
        found = scores(folder, "vllm", kv_cache_gib=0.5)
        # After vLLM: where it has no class of its own it changes that of transformers, for all of the process.
        assert found == pytest.approx(scores(folder, "transformers"), abs=1e-3)
        return
    with pytest.raises(ModelError) as refusal:
        scores(folder, "vllm", kv_cache_gib=0.5)
    assert family.vllm in str(refusal.value)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.models == "OLMo-2-1124-7B-RM"], ids=lambda f: f.models)
def test_a_model_of_transformers_and_one_of_its_class_in_vllm_answer_side_by_side(family, tmp_path, cache):
    need_vllm()
    folder = family.save(tmp_path / NAME)
    requests = [ScoreRequest(f"s{i}", ids) for i, ids in enumerate(ROWS)]
    in_vllm = open_rewards(resolve_model(folder, engine="vllm", dtype="float32"), kv_cache_gib=0.5)
    try:
        before = in_vllm.score(requests)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        seen = []
        model.base_model.register_forward_hook(lambda *_: seen.append(True))
        model(torch.tensor([[5, 6, 7, 2]]))
        assert seen == [True]
        assert in_vllm.score(requests) == before
    finally:
        in_vllm.close()
