"""What the card tells people to run is run: load_dataset by its configurations, and TRL on the kept tokens."""

import re
from pathlib import Path

import datasets
import pytest
from curated_support import curated_run
from huggingface_hub import DatasetCard
from tests_support import tiny_tokenizer

import flows.curate.flow as curate_module
from flows.publish.export import export_run
from flows.versions.output_folder import read_manifest
from transforms.dataset.shards import file_sha256
from transforms.records.manifest import Manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curate_module, "stage", curate_module.stage.fn)
        return curated_run(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    """The run in the published layout, with the card that goes there."""
    there = tmp_path_factory.mktemp("published")
    export_run(run[0], there, "org/name")
    return there


def python_of(folder: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_figures_are_files_of_the_run_and_the_version_is_that_of_the_data(run):
    folder, _ = run
    manifest: Manifest = read_manifest(folder)
    figures = {file.path: file.sha256 for file in manifest.files if file.path.startswith("figures/")}
    assert sorted(figures) == ["figures/funnel.png", "figures/lengths.png"]
    for path, digest in figures.items():
        assert file_sha256(folder / path) == digest
        assert f"]({path})" in (folder / "README.md").read_text()


def test_the_folder_of_a_run_loads_by_its_card(run, tmp_path):
    folder, _ = run
    counts = read_manifest(folder).counts
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == counts.splits


def test_what_is_published_loads_by_its_card_and_is_what_the_run_wrote(run, published, tmp_path):
    folder, _ = run
    loaded = datasets.load_dataset(str(published), cache_dir=str(tmp_path))
    assert loaded["train"].to_list() == datasets.load_from_disk(str(folder / "dataset"))["train"].to_list()
    configs = DatasetCard.load(published / "README.md").data.to_dict()["configs"]
    dropped = read_manifest(folder).counts.dropped
    assert [config["config_name"] for config in configs] == ["default", *(["dropped"] if dropped else [])]


@pytest.mark.filterwarnings("ignore")  # TRL's
def test_trl_trains_on_the_kept_tokens_by_the_code_in_the_card(run, published, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    _, policy = run
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    load = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda repo: load(str(published), cache_dir=str(tmp_path)))
    names: dict[str, object] = {}
    for block in python_of(published):
        exec(block, names)
    rows = names["data"]["train"]
    assert any(row["chosen_cut"] or row["rejected_cut"] for row in rows)
    tokenizer = tiny_tokenizer()
    arguments = DPOConfig(
        output_dir=str(tmp_path / "trl"), max_length=None, max_steps=1, per_device_train_batch_size=2, report_to=[],
        use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(policy)
    trainer = names["TokenExactDPOTrainer"](
        model=model, args=arguments, train_dataset=names["pairs"]["train"], processing_class=tokenizer
    )
    assert len(trainer.train_dataset) == len(rows)
    for row, ready in zip(rows, trainer.train_dataset, strict=True):
        for side in ("chosen", "rejected"):
            assert ready[f"{side}_ids"] == row[f"{side}_ids"][: row[f"{side}_keep"]]
            assert (ready[f"{side}_ids"][-1] == tokenizer.eos_token_id) != row[f"{side}_cut"]
    trainer.train()
    # The messages of whole responses go through TRL's own preparation.
    conversations = names["conversations"]["train"]
    other = DPOTrainer(model=model, args=arguments, train_dataset=conversations, processing_class=tokenizer)
    assert len(other.train_dataset) == len(conversations)
