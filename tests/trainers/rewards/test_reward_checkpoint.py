"""The folder that a reward model is: tokens, template, padding, and no half-written one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainers.rewards.checkpoint import (
    PolicyCheckpoint,
    ends_at_end_of_turn,
    open_policy,
    padding_token,
    save_checkpoint,
)
from transforms.errors import ModelError, OutputError

TURNS = [
    {"role": "user", "content": "first\n"},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": " second\n\n"},
]
ANSWERS = [
    "plain",
    "ends in a newline\n",
    "in three\n\n\n",
    " leading space",
    "```py\nx = 1\n```\n",
    "日本語 😀\n",
    "\t\n ",
]


def opened(policy: Path) -> PolicyCheckpoint:
    return open_policy(policy, dtype=torch.float32, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def saved(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reward") / "model"
    save_checkpoint(opened(policy), torch.arange(32) / 7, padding=0, record={"mode": "head"}, out=out)
    return out


def test_the_folder_loads_with_no_key_missing_or_left_over(saved: Path) -> None:
    model, info = AutoModelForSequenceClassification.from_pretrained(saved, output_loading_info=True)
    assert [info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")] == [
        set(),
        set(),
        set(),
    ]
    assert type(model).__name__ == "LlamaForSequenceClassification"
    assert model.config.architectures == ["LlamaForSequenceClassification"]
    assert model.config.num_labels == 1


def test_the_head_is_stored_in_fp32_to_the_last_bit(saved: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(saved, dtype=torch.float32)
    assert torch.equal(model.score.weight[0], torch.arange(32) / 7)


def test_padding_is_neither_the_end_of_turn_nor_undefined(saved: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<|endoftext|>", 0)
    assert AutoModelForSequenceClassification.from_pretrained(saved).config.pad_token_id == 0


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_conversation_is_prompt_ids_and_response_ids_and_ends_at_the_end_of_turn(
    saved: Path, tokenizer: Any, answer: str
) -> None:
    prompt_ids = tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False)
    response_ids = [*tokenizer(answer, add_special_tokens=False).input_ids, 2]
    found = AutoTokenizer.from_pretrained(saved).apply_chat_template(
        [*TURNS, {"role": "assistant", "content": answer}], return_dict=False
    )
    assert found == prompt_ids + response_ids


def test_the_generation_prompt_is_rendered_as_before(saved: Path, tokenizer: Any) -> None:
    expected = tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, tokenize=False)
    reloaded = AutoTokenizer.from_pretrained(saved)
    assert reloaded.apply_chat_template(TURNS, add_generation_prompt=True, tokenize=False) == expected


@pytest.mark.parametrize(
    "template",
    [
        "\n\n{% for m in messages %}{{ m['content'] }}<e>{% endfor %}\n\n",
        "  {% for m in messages %}\n  {{ m['content'] }}<e>\n{% endfor %}\n  ",
        "{%- for m in messages -%}\n{{ m['content'] }}<e>{%- endfor -%}\n",
        "{% set s = namespace(n=0) %}{% for m in messages %}{% set s.n = s.n + 1 %}{{ s.n }}<e>{% endfor %}",
    ],
)
def test_other_templates_lose_only_what_follows_the_last_end_of_turn(tokenizer: Any, template: str) -> None:
    def render(source: str, **options: Any) -> str:
        return str(tokenizer.apply_chat_template(TURNS, chat_template=source, tokenize=False, **options))

    before, wrapped = render(template), ends_at_end_of_turn(template, "<e>")
    assert render(wrapped) == before.rpartition("<e>")[0] + "<e>"
    assert render(wrapped, add_generation_prompt=True) == render(template, add_generation_prompt=True)


def test_a_template_without_the_end_of_turn_is_left_as_it_is(tokenizer: Any) -> None:
    wrapped = ends_at_end_of_turn("{{ messages[0]['content'] }} !\n", "<e>")
    assert tokenizer.apply_chat_template(TURNS, chat_template=wrapped, tokenize=False) == "first\n !"


def test_padding_that_ends_a_turn_is_replaced(policy: Path) -> None:
    checkpoint = opened(policy)
    assert (checkpoint.eot, checkpoint.tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert padding_token(checkpoint, [2, 100]) == 0


def test_without_a_free_special_token_there_is_no_padding(policy: Path) -> None:
    with pytest.raises(ModelError, match=r"each special token .* ends some sequence"):
        padding_token(opened(policy), [0])


def test_a_failing_disk_leaves_nothing_behind(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        message = "No space left on device"
        raise OSError(28, message)

    checkpoint = opened(policy)
    monkeypatch.setattr(checkpoint.model, "save_pretrained", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(checkpoint, torch.ones(32), padding=0, record={}, out=tmp_path / "reward")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        opened(tmp_path)


def test_a_tokenizer_without_a_chat_template_is_refused(policy: Path, tmp_path: Path) -> None:
    for path in policy.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match="the tokenizer has no chat template"):
        opened(tmp_path)


def test_a_template_that_ends_a_turn_with_text_is_refused(policy: Path, tmp_path: Path) -> None:
    for path in policy.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    with pytest.raises(ModelError, match="after an assistant turn: no special token"):
        opened(tmp_path)
