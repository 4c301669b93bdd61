"""What docs/how-to/use-in-trl.md warns of is what the installed TRL does. Where this fails, the page is out of date."""

import importlib.metadata
import logging

import datasets
import pytest
import torch
from docs_support import Page
from flows_support import model_folders

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # TRL's and torch's own
]

IDS = [
    {"prompt_ids": [5, 6, 7], "chosen_ids": [8, 9, 10, 11, 12, 2], "rejected_ids": [14, 15 + n, 2]} for n in range(4)
]
TEXT = [
    {
        "prompt": [{"role": "user", "content": f"question {n}"}],
        "chosen": [{"role": "assistant", "content": "the cat sat on the mat and more"}],
        "rejected": [{"role": "assistant", "content": "dog"}],
    }
    for n in range(4)
]
WHOLE = [{"chosen_ids": [5, 6, 7 + n], "rejected_ids": [6, 9]} for n in range(4)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture
def trained(models, tmp_path):
    """A trainer that was made, and made its step unless told otherwise."""
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    class IdsDPOTrainer(DPOTrainer):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

    def make(kind, dataset, *, step=False, **settings):
        trainer, config, model = {
            "ids": (IdsDPOTrainer, DPOConfig, models[0]),
            "text": (DPOTrainer, DPOConfig, models[0]),
            "reward": (RewardTrainer, RewardConfig, models[1]),
        }[kind]
        common = {"report_to": [], "use_cpu": True, "bf16": False, "max_steps": 1, "logging_steps": 1}
        arguments = config(str(tmp_path / "trained"), **common | {"per_device_train_batch_size": 4} | settings)
        tokenizer = AutoTokenizer.from_pretrained(models[0])
        made = trainer(str(model), args=arguments, train_dataset=dataset, processing_class=tokenizer)
        if step:
            made.train()
        return made

    return make


def on_disk(rows, folder):
    if not folder.exists():
        datasets.Dataset.from_list(rows).save_to_disk(str(folder))
    return datasets.load_from_disk(str(folder))


def in_memory(rows, folder):
    return on_disk(rows, folder).map(lambda row: {"n": 1}, keep_in_memory=True)


def test_the_page_names_the_version_that_is_installed():
    version = importlib.metadata.version("trl")
    assert f"Each was seen with {version}" in Page("docs/how-to/use-in-trl.md").text
    assert f"## What TRL {version.rsplit('.', 1)[0]} does" in Page("docs/how-to/use-in-trl.md").text


KEEP_END = {"max_length": 64, "truncation_mode": "keep_end"}


@pytest.mark.parametrize(
    ("kind", "base", "change", "stale"),
    [
        ("ids", {"max_length": None}, {"ld_alpha": 0.25}, True),
        ("ids", {"max_length": None}, {"max_length": 6}, True),
        ("ids", {"max_length": 64}, {"max_length": 6}, True),
        ("text", {"max_length": None}, {"ld_alpha": 0.25}, True),
        ("text", KEEP_END, {"ld_alpha": 0.25}, True),
        ("text", KEEP_END, {"max_length": 28}, True),
        ("text", {"max_length": 64}, {"ld_alpha": 0.25}, False),
        ("text", {"max_length": 64}, {"max_length": 28}, False),
    ],
)
def test_reference_log_probs_on_disk_are_those_of_other_settings(trained, tmp_path, kind, base, change, stale):
    rows = IDS if kind == "ids" else TEXT

    def references(place, settings, folder):
        made = trained(kind, place(rows, tmp_path / folder), precompute_ref_log_probs=True, **settings)
        return made.train_dataset["ref_chosen_logps"][:]

    before = references(on_disk, base, "run")
    after = references(on_disk, base | change, "run")
    expected = references(on_disk, base | change, "another copy")
    assert before != pytest.approx(expected)
    assert (after == pytest.approx(before)) == stale
    assert (after == pytest.approx(expected)) != stale
    # As the page does it: nothing is kept, and nothing is written beside the shards.
    references(in_memory, base, "clean")
    assert references(in_memory, base | change, "clean") == pytest.approx(expected)
    assert not list((tmp_path / "clean").glob("cache-*"))


def test_a_reward_trainer_drops_pairs_beyond_1024_tokens_unless_told_otherwise(trained):
    pairs = datasets.Dataset.from_list([{"chosen_ids": [5] * n, "rejected_ids": [6]} for n in (10, 1024, 1025)])
    assert [len(row["chosen_ids"]) for row in trained("reward", pairs).train_dataset] == [10, 1024]
    assert len(trained("reward", pairs, max_length=None).train_dataset) == 3


def test_a_margin_that_is_null_ends_training_and_one_that_is_nan_ends_the_model(trained):
    def rows(margin):
        return datasets.Dataset.from_list([row | {"margin": 1.0 if n else margin} for n, row in enumerate(WHOLE)])

    with pytest.raises(TypeError, match="must be real number, not NoneType"):
        trained("reward", rows(None), step=True)
    made = trained("reward", rows(float("nan")), step=True)
    assert made.state.log_history[-1]["train_loss"] == 0.0
    assert all(weights.isnan().any() for weights in made.model.parameters())


@pytest.mark.parametrize("first", [True, False])
def test_of_rows_with_and_without_a_margin_the_first_of_a_batch_decides(first):
    from trl.trainer.reward_trainer import DataCollatorForPreference

    rows = [WHOLE[0] | {"margin": 1.0}, WHOLE[1]]
    collator = DataCollatorForPreference(pad_token_id=0)
    if first:
        with pytest.raises(KeyError, match="margin"):
            collator(rows)
    else:
        assert "margin" not in collator(rows[::-1])


def test_a_prompt_that_fills_max_length_teaches_nothing_with_ids_and_is_dropped_with_text(trained):
    long, short = IDS[0] | {"prompt_ids": [5] * 20}, IDS[0]

    def step(rows, **settings):
        made = trained("ids", datasets.Dataset.from_list(rows), step=True, max_length=20, **settings)
        return made.state.log_history[0]["loss"], made.state.log_history[0]["grad_norm"]

    assert step([long, long]) == (pytest.approx(torch.tensor(2.0).log().item()), 0.0)
    (_, alone), (_, diluted) = step([short, short]), step([short, long])
    assert diluted == pytest.approx(alone / 2, rel=1e-4)
    words = [
        row | {"prompt": [{"role": "user", "content": "question " * n}]} for n, row in zip((1, 40), TEXT, strict=False)
    ]
    assert len(trained("text", datasets.Dataset.from_list(words), max_length=64).train_dataset) == 1


def implicit(chosen, rejected):
    from trl.data_utils import extract_prompt

    return extract_prompt({"chosen": chosen, "rejected": rejected})


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt", "left"),
    [
        ("Sure, here is A", "Sure, here is B", "Sure, here is", (" A", " B")),
        # One is the beginning of the other: nothing is lost, but the last common character is in both responses.
        ("ab", "abc", "a", ("b", "bc")),
        ("abc", "ab", "a", ("bc", "b")),
        # Nothing in common, and the chosen ends in a space: its index before the first is the last.
        ("Nile. ", "Po.", "Nile.", (" ", ".")),
        ("Po.", "Nile. ", "", ("Po.", "Nile. ")),
    ],
)
def test_an_implicit_prompt_of_plain_text_is_what_the_card_of_kind_preference_says(chosen, rejected, prompt, left):
    from trl.data_utils import extract_prompt

    found = extract_prompt({"chosen": chosen, "rejected": rejected})
    assert (found["prompt"], (found["chosen"], found["rejected"])) == (prompt, left)
