"""A reward model of several objectives in a recipe's place: rewards as ever, objectives kept beside them."""

import math

import pytest
from reward_models import save_armorm

from flows.models import recipe_models as flow_models
from flows.models.scoring import Scorer
from flows.recipe.curation import RewardConfig
from flows.runtime.progress import Progress
from transforms.chat.conversation import Asked
from transforms.chat.turn import answer
from transforms.engines.armorm import ArmoRm
from transforms.engines.fakes import FakeRewards
from transforms.engines.objectives import ARMORM_OBJECTIVES, objective_names
from transforms.engines.protocol import ScoreRequest
from transforms.records.manifest import SpendRecord

ASKED = [Asked([{"role": "user", "content": text}]) for text in ("the cat", "and the dog?")]
ANSWERS = [answer("sat on the mat"), answer("ran")]


def pay(_, work):
    work()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_armorm(tmp_path_factory.mktemp("armorm") / "tiny-armorm")


def scorer(folder, ledger):
    config = RewardConfig(model=str(folder), dtype="float32")
    model = flow_models.resolve_reward(config)
    return Scorer(model, config, ledger_root=str(ledger), spend=SpendRecord.nothing()), model


def test_a_recipe_names_it_as_any_other_and_its_objectives_are_kept(folder, tmp_path, monkeypatch):
    scoring, model = scorer(folder, tmp_path)
    requests = scoring.of_answers(ASKED, ANSWERS)
    assert all(isinstance(request, ScoreRequest) for request in requests)
    scoring.pay([*requests, "unreadable"], "scores", pay=pay, progress=Progress())
    expected = ArmoRm(model).score_objectives(requests)
    assert scoring.rewards([*requests, "unreadable"])[:2] == pytest.approx([one.reward for one in expected], abs=1e-5)
    found = scoring.objectives([*requests, "unreadable"])
    assert found[2] is None
    assert [len(values) for values in found[:2]] == [len(objective_names(model))] * 2 == [len(ARMORM_OBJECTIVES)] * 2
    for values, one in zip(found, expected, strict=False):
        assert values == pytest.approx(one.values, abs=1e-5)

    monkeypatch.setattr(flow_models, "open_reward", lambda *_: pytest.fail("a model was opened"))
    again, _ = scorer(folder, tmp_path)
    again.pay(requests, "scores", pay=pay, progress=Progress())
    assert again.objectives(requests) == found[:2]


def test_what_gave_no_number_has_no_objectives(folder, tmp_path, monkeypatch):
    scoring, model = scorer(folder, tmp_path)
    requests = scoring.of_answers(ASKED, ANSWERS)
    engine = ArmoRm(model)
    engine._model.gating.logit_scale.data.fill_(math.nan)
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: engine)
    scoring.pay(requests, "scores", pay=pay, progress=Progress())
    assert scoring.objectives(requests) == [None, None]
    assert all(math.isnan(reward) for reward in scoring.rewards(requests))


def test_a_reward_model_of_one_number_has_none(folder, tmp_path, monkeypatch):
    scoring, _ = scorer(folder, tmp_path)
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: FakeRewards())
    requests = scoring.of_answers(ASKED, ANSWERS)
    scoring.pay(requests, "scores", pay=pay, progress=Progress())
    assert scoring.objectives(requests) == [None, None]
    assert all(math.isfinite(reward) for reward in scoring.rewards(requests))


def test_another_chat_template_leaves_conversations_that_say_why_they_cannot_be_scored(folder, tmp_path):
    template = tmp_path / "chatml.jinja"
    template.write_text(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    )
    config = RewardConfig(model=str(folder), dtype="float32", chat_template=str(template))
    scoring = Scorer(flow_models.resolve_reward(config), config, ledger_root=str(tmp_path), spend=SpendRecord.nothing())
    found = scoring.of_answers(ASKED, ANSWERS)
    assert all(isinstance(why, str) and "weighs its objectives at" in why for why in found)
    assert scoring.rewards(found) == found
