"""The hand-written starter prompts and their card: counts, shape and text hygiene, all exact."""

import json
import re
import unicodedata
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

STARTER = Path(__file__).parents[1] / "data_cards" / "starter"
COUNTS = {  # category: (train, test)
    "factual": (40, 24),
    "reasoning": (30, 18),
    "writing": (35, 21),
    "code": (25, 15),
    "chat": (20, 12),
    "multilingual": (10, 6),
}


@pytest.fixture(scope="module")
def prompts() -> list[dict[str, Any]]:
    text = (STARTER / "prompts.jsonl").read_bytes().decode("utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.fixture(scope="module")
def card() -> str:
    return (STARTER / "README.md").read_text(encoding="utf-8")


def texts(row: dict[str, Any]) -> list[str]:
    return [message["content"] for message in row["messages"]]


def runs_of_three_words(row: dict[str, Any]) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", " ".join(texts(row)).lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def test_there_are_256_prompts_with_the_published_counts_per_category_and_split(
    prompts: list[dict[str, Any]],
) -> None:
    found = Counter((row["category"], row["split"]) for row in prompts)
    expected = {
        (category, split): count
        for category, counts in COUNTS.items()
        for split, count in zip(("train", "test"), counts, strict=True)
    }
    assert found == expected
    assert sum(found.values()) == 256


def test_every_row_has_exactly_the_four_keys_in_order(prompts: list[dict[str, Any]]) -> None:
    assert {tuple(row) for row in prompts} == {("prompt_id", "category", "split", "messages")}


def test_ids_are_the_category_and_a_running_number(prompts: list[dict[str, Any]]) -> None:
    expected = [f"{name}-{n:03d}" for name, counts in COUNTS.items() for n in range(1, sum(counts) + 1)]
    assert [row["prompt_id"] for row in prompts] == expected


def test_each_category_is_split_evenly_along_its_length(prompts: list[dict[str, Any]]) -> None:
    for start in range(0, 256, 8):
        splits = [row["split"] for row in prompts[start : start + 8]]
        assert splits.count("test") == 3, prompts[start]["prompt_id"]


def test_no_two_prompts_have_the_same_content(prompts: list[dict[str, Any]]) -> None:
    assert len({tuple(texts(row)) for row in prompts}) == 256
    assert len({texts(row)[-1].casefold() for row in prompts}) == 256


def test_no_two_prompts_share_more_than_a_seventh_of_their_three_word_runs(
    prompts: list[dict[str, Any]],
) -> None:
    runs = [(row["prompt_id"], runs_of_three_words(row)) for row in prompts]
    close = [(left, right) for (left, a), (right, b) in combinations(runs, 2) if 7 * len(a & b) > len(a | b)]
    assert close == []


def test_roles_alternate_and_begin_and_end_with_the_user(prompts: list[dict[str, Any]]) -> None:
    for row in prompts:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], row["prompt_id"]
        assert {tuple(message) for message in row["messages"]} == {("role", "content")}


def test_only_chats_have_several_turns_and_they_have_three_to_seven_messages(
    prompts: list[dict[str, Any]],
) -> None:
    lengths = {(row["category"] == "chat", len(row["messages"])) for row in prompts}
    assert lengths == {(False, 1), (True, 3), (True, 5), (True, 7)}


def test_text_is_nfc_without_control_characters_or_trailing_whitespace(prompts: list[dict[str, Any]]) -> None:
    for row in prompts:
        for text in texts(row):
            assert text == unicodedata.normalize("NFC", text), row["prompt_id"]
            assert text == text.strip() != "", row["prompt_id"]
            assert all(line == line.rstrip() for line in text.split("\n")), row["prompt_id"]
            assert not {unicodedata.category(char) for char in text.replace("\n", "")} & {"Cc", "Cs", "Cn"}


def test_lines_are_plain_json_with_one_newline_each(prompts: list[dict[str, Any]]) -> None:
    written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in prompts)
    assert (STARTER / "prompts.jsonl").read_bytes() == written.encode("utf-8")


def test_the_multilingual_prompts_use_at_least_five_scripts(prompts: list[dict[str, Any]]) -> None:
    letters = "".join(texts(row)[0] for row in prompts if row["category"] == "multilingual")
    scripts = {unicodedata.name(char).split()[0] for char in letters if char.isalpha()}
    assert {"LATIN", "CJK", "HIRAGANA", "ARABIC", "CYRILLIC", "DEVANAGARI", "HANGUL"} <= scripts


def test_the_card_declares_licence_languages_size_and_task(card: str) -> None:
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["size_categories"] == ["1K<n<10K"]
    assert front["task_categories"] == ["text-generation"]
    assert {"en", "zh", "ja", "ar", "es", "fr", "de", "hi", "ru", "tr"} <= set(front["language"])


def test_the_table_of_the_card_is_the_count_of_the_file(card: str) -> None:
    for category, (train, test) in COUNTS.items():
        assert f"| {category} | {train} | {test} | {train + test} |" in card
    assert "| all | 160 | 96 | 256 |" in card


def test_the_card_marks_where_the_figures_go_with_one_line_per_temperature(card: str) -> None:
    figures = card.split("<!-- figures:begin -->")[1].split("<!-- figures:end -->")[0]
    assert re.findall(r"^\| (\d\.\d) \|", figures, flags=re.MULTILINE) == ["0.2", "0.7", "1.1", "1.5"]
