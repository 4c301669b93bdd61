"""What the starter's reward model is cached under: all that it is made of."""

import json
from pathlib import Path

from flows.models import starter_reward

ROOT = Path(__file__).parents[3]


def test_every_file_of_the_trainers_in_all_their_rooms_is_part_of_it():
    files = {path.relative_to(ROOT).as_posix() for path in starter_reward.trainer_files()}
    assert {"trainers/rewards/fit.py", "trainers/rewards/head.py", "trainers/reading/pair_tokens.py"} <= files
    assert len(files) > 45


def test_a_model_that_is_there_is_taken_without_a_tokenizer_and_one_of_other_code_is_not(monkeypatch, tmp_path):
    trainer = tmp_path / "fit.py"
    trainer.write_text("steps = 1\n")
    policy = tmp_path / "policy"
    policy.mkdir()
    for file in ("config.json", "model.safetensors"):  # hashed, and read by nobody
        (policy / file).write_text("{}")
    monkeypatch.setattr("transforms.engines.models.smollm2_folder", lambda: policy)
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path))
    monkeypatch.setattr(starter_reward, "trainer_files", lambda: [trainer])
    monkeypatch.setattr(starter_reward, "training_pairs", lambda *_: None)
    monkeypatch.setattr(starter_reward, "some_prompts", lambda pairs: pairs)
    made = []

    def train(_pairs, *, policy, out, config):
        assert policy == tmp_path / "policy"
        assert config is not None
        out.mkdir(parents=True)
        (out / "config.json").write_text(json.dumps({}))
        made.append(out)

    monkeypatch.setattr("trainers.rewards.fit.train_reward_model", train)
    asked = []
    first = starter_reward.starter_reward_model(lambda: asked.append(1))
    assert starter_reward.starter_reward_model(lambda: asked.append(2)) == first
    trainer.write_text("steps = 2\n")
    second = starter_reward.starter_reward_model(lambda: asked.append(3))
    assert made == [first, second]
    assert asked == [1, 3]
