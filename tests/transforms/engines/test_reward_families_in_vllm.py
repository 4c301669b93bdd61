"""The vLLM column of docs/reference/reward-models.md: what loads there scores as in transformers."""

import pytest
from reward_families import FAMILIES, LOADS, NAME
from tests_support import need_vllm

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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each family's folder, and what transformers scores: of all, before vLLM reads any.

    Where vLLM has no class of its own, it wraps that of transformers, which the same process cannot load any more.
    """
    found = {}
    for name, family in zip(NAMES, FAMILIES, strict=True):
        folder = family.save(tmp_path_factory.mktemp("family") / NAME)
        found[name] = (folder, scores(folder, "transformers") if family.vllm == LOADS else None)
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_what_becomes_of_a_family_in_vllm_is_what_the_page_says(family, made, cache):
    need_vllm()
    folder, expected = made[family.models.partition(",")[0]]
    if family.vllm == LOADS:
        assert scores(folder, "vllm", kv_cache_gib=0.5) == pytest.approx(expected, abs=1e-3)
        return
    with pytest.raises(ModelError) as refusal:
        scores(folder, "vllm", kv_cache_gib=0.5)
    assert family.vllm in str(refusal.value)
