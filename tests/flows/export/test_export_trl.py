"""TRL's own trainers on exported files: what they read, what they do not, and the end-of-turn that the page warns of.

OpenRLHF and NeMo RL are not installed; of them what their dataset classes read is held (transforms/exports says where).
"""

import json
import logging
import sys

import datasets
import pytest
from export_support import CALL, TOOLS, kept, run_of, structure
from flows_support import model_folders

from flows.export.__main__ import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # TRL's and torch's own
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return model_folders(tmp_path_factory.mktemp("models"), context=512)


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Six pairs, one cut, one unfinished, three with structure; 8 desirable responses and 4 undesirable ones."""
    rows = [
        kept(0, reward_rejected=-1.0),
        kept(1, chosen="go", chosen_full="good", chosen_keep=2, chosen_cut=True, reward_rejected=-1.0),
        kept(2, rejected_cut=True, rejected_finished=False, reward_rejected=-1.0),
        kept(3, structure=structure(tools=TOOLS, chosen=CALL), reward_rejected=-1.0),
        kept(4, structure=structure(chat_template_kwargs={"enable_thinking": False})),
        kept(5, structure=structure(rejected={"reasoning_content": "hm"})),
    ]
    run = run_of(tmp_path_factory.mktemp("runs") / "run", rows)
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", ["export", str(run), "--to", "trl", "kto", "nemo_rl", "openrlhf"])
    assert main() == 0
    patch.undo()
    return run / "exports"


def rows_of(exports, layout, tmp_path):
    path = str(exports / layout / "train.jsonl")
    return datasets.load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))


def trainer_of(kind, rows, models, tmp_path, **settings):
    import trl
    from transformers import AutoTokenizer

    common = {"report_to": [], "use_cpu": True, "bf16": False, "max_steps": 1, "per_device_train_batch_size": 4}
    arguments = getattr(trl, f"{kind}Config")(str(tmp_path / "trained"), **common | {"max_length": None} | settings)
    tokenizer = AutoTokenizer.from_pretrained(models[0])
    model = str(models[kind == "Reward"])
    return getattr(trl, f"{kind}Trainer")(model, args=arguments, train_dataset=rows, processing_class=tokenizer)


def test_dpo_takes_all_rows_and_ends_the_turn_of_a_cut_response(exports, models, tmp_path):
    made = trainer_of("DPO", rows_of(exports, "trl", tmp_path), models, tmp_path)
    eot = made.processing_class.convert_tokens_to_ids("<|im_end|>")
    prepared = list(made.train_dataset)
    assert len(prepared) == 6
    assert all(eot in row["chosen_ids"][-2:] and eot in row["rejected_ids"][-2:] for row in prepared)
    assert any(row["chosen_cut"] for row in prepared)
    columns = set(next(iter(made.get_train_dataloader())))
    assert not columns & {"pair_id", "source", "chosen_cut", "tools"}
    made.train()


def test_reward_training_takes_all_rows_and_finds_no_margin(exports, models, tmp_path):
    made = trainer_of("Reward", rows_of(exports, "trl", tmp_path), models, tmp_path)
    assert len(made.train_dataset) == 6
    assert "margin" not in made.train_dataset.column_names
    made.train()


def test_kto_takes_the_labels_as_they_are_and_ends_the_turn_of_a_cut_response(exports, models, tmp_path):
    rows = rows_of(exports, "kto", tmp_path)
    made = trainer_of("KTO", rows, models, tmp_path)
    prepared = list(made.train_dataset)
    assert sorted(row["label"] for row in prepared) == [False] * 4 + [True] * 8
    eot = made.processing_class.convert_tokens_to_ids("<|im_end|>")
    assert all(eot in row["completion_ids"][-2:] for row in prepared)
    assert sum(row["completion_cut"] for row in prepared) == 2
    made.train()


@pytest.mark.parametrize("weighted", [True, False])
def test_kto_warns_of_the_weights_unless_they_are_those_of_the_export(exports, models, tmp_path, caplog, weighted):
    found = json.loads((exports / "export.json").read_text())["threshold"]
    names = ("desirable_weight", "undesirable_weight")
    settings = {name: found[name] for name in names} if weighted else {}
    logger = logging.getLogger("trl.trainer.kto_trainer")
    logger.addHandler(caplog.handler)
    trainer_of("KTO", rows_of(exports, "kto", tmp_path), models, tmp_path, **settings)
    logger.removeHandler(caplog.handler)
    assert ("different amounts of desirable" in caplog.text) is not weighted


def test_openrlhf_finds_messages_under_its_keys_and_both_splits_in_the_folder(exports, models, tmp_path):
    from transformers import AutoTokenizer

    render = AutoTokenizer.from_pretrained(models[0]).apply_chat_template
    found = datasets.load_dataset(str(exports / "openrlhf"), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(found) == 4
    for row in found:
        prompt = render(row["prompt"], tokenize=False, add_generation_prompt=True)
        for side in ("chosen", "rejected"):
            assert render(row["prompt"] + row[side], tokenize=False).startswith(prompt)
        assert row.get("margin") is None


def test_nemo_rl_finds_two_completions_of_different_rank(exports, models, tmp_path):
    from transformers import AutoTokenizer

    render = AutoTokenizer.from_pretrained(models[0]).apply_chat_template
    found = rows_of(exports, "nemo_rl", tmp_path)
    assert "task_name" not in found.column_names  # PreferenceDataset adds it
    for row in found:
        first, second = row["completions"]
        assert (first["rank"], second["rank"]) == (0, 1)
        assert first["completion"][0]["content"] in ("good", "go")
        assert render(row["context"] + second["completion"], tokenize=False)
