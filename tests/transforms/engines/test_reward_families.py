"""The table of docs/reference/reward-models.md, held against what becomes of a checkpoint of each class."""

import pytest
import torch
from reward_families import FAMILIES, LOADS, NAME, PAGE, page
from reward_models import changed
from safetensors.torch import load_file

from transforms.engines.decoder_heads import HEADS
from transforms.engines.models import resolve_model
from transforms.engines.protocol import ScoreRequest
from transforms.engines.reward_checks import reward_config
from transforms.engines.select import open_rewards
from transforms.errors import ModelError

ROWS = [[5, 6, 7, 2], [*range(30, 60), 0, 1, 2], [9, 10]]
NAMES = [family.models.partition(",")[0] for family in FAMILIES]
HEADED = [family for family in FAMILIES if family.architecture in HEADS]


def requests(rows=ROWS):
    return [ScoreRequest(f"s{i}", ids) for i, ids in enumerate(rows)]


def opened(folder, engine="transformers"):
    return open_rewards(resolve_model(folder, engine=engine, dtype="float32"))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_what_becomes_of_a_family_is_what_the_page_says(family, tmp_path, cache):
    folder = family.save(tmp_path / NAME)
    if family.transformers == LOADS:
        opened(folder).close()
        return
    with pytest.raises(ModelError) as refusal:
        opened(folder)
    assert family.transformers in str(refusal.value)


@pytest.mark.parametrize("family", [f for f in FAMILIES if "reward.engine" in f.vllm], ids=lambda f: f.architecture)
def test_what_vllm_alone_refuses_says_so_before_it_starts(family, tmp_path, cache):
    model = resolve_model(family.save(tmp_path / NAME), engine="vllm", dtype="float32")
    with pytest.raises(ModelError) as refusal:
        reward_config(model, trust_remote_code=False)
    assert family.vllm in str(refusal.value)


def test_the_page_is_made_of_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/support/reward_families.py"


def head_by_hand(weights, head, state):
    """A head in Python floats, loop by loop."""
    if head.layers == 1:
        [row] = weights[f"{head.name}.weight"].tolist()
        return sum(w * s for w, s in zip(row, state, strict=True))
    for layer in (0, 2):
        rows, bias = weights[f"{head.name}.{layer}.weight"].tolist(), weights[f"{head.name}.{layer}.bias"].tolist()
        state = [sum(w * s for w, s in zip(row, state, strict=True)) + b for row, b in zip(rows, bias, strict=True)]
        if layer == 0:
            state = [max(value, 0.0) for value in state]
    return state[0]


@pytest.mark.parametrize("family", HEADED, ids=lambda family: family.architecture)
def test_a_head_of_its_own_is_computed_at_the_last_token_of_each_row(family, tmp_path, cache):
    from transformers import AutoConfig, AutoModel

    folder = family.save(tmp_path / NAME)
    weights = load_file(folder / "model.safetensors")
    base = AutoModel.from_config(AutoConfig.from_pretrained(folder)).eval()
    base.load_state_dict({n.removeprefix("model."): t for n, t in weights.items() if n.startswith("model.")})
    expected = []
    for ids in ROWS:
        with torch.no_grad():
            state = base(torch.tensor([ids])).last_hidden_state[0, -1].double().tolist()
        expected.append(head_by_hand(weights, HEADS[family.architecture], state))
    engine = opened(folder)
    assert engine.score(requests()) == pytest.approx(expected, abs=1e-5, rel=1e-5)
    assert engine.score(requests(ROWS[::-1])) == pytest.approx(expected[::-1], abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("family", HEADED, ids=lambda family: family.architecture)
def test_a_head_of_its_own_that_is_not_all_there_is_refused_by_name(family, tmp_path, cache):
    folder = family.save(tmp_path / NAME)
    lost = next(name for name in load_file(folder / "model.safetensors") if not name.startswith("model."))
    with pytest.raises(ModelError, match=f"lacks weights: {lost}"):
        opened(changed(folder, tmp_path / "without", drop=lost))
    other = {"v_head__weight": torch.zeros(1, 64)}
    with pytest.raises(ModelError, match=r"has unknown weights: v_head\.weight"):
        opened(changed(folder, tmp_path / "with", **other))
