"""Text made visible, cut tails found, numbers written for people."""

import numpy as np
import pytest

from transforms import text
from transforms.report import Example, scales
from transforms.report.codes_in_words import cut_in_words
from transforms.report.examples import sides


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\u202eb", 'a<span class="esc">U+202E</span>b'),
        ("\x00<b>", '<span class="esc">U+0000</span>&lt;b&gt;'),
        ("tab\tand\r\nnewline", "tab\tand\nnewline"),
        ("\ud83d", '<span class="esc">U+D83D</span>'),
        ("\U000e0041", '<span class="esc">U+E0041</span>'),
        ("می‌خواهم 👩‍🚀", "می‌خواهم 👩‍🚀"),  # the joiners are part of the spelling
    ],
)
def test_unseen_characters_become_code_points(raw: str, shown: str) -> None:
    assert str(text.visible(raw)) == shown


@pytest.mark.parametrize(
    ("full", "kept", "tail"),
    [
        ("one two", "one", " two"),
        ("né", "n\ufffd", "é"),  # the cut fell inside é
        ("one", "one", ""),
        ("O ne two", "One", "e two"),  # a tokenizer that normalises: cut by length
    ],
)
def test_the_tail_is_what_the_kept_text_leaves(full: str, kept: str, tail: str) -> None:
    assert text.cut_tail(full, kept) == tail


def test_a_long_text_shows_its_ends_and_how_much_is_left_out() -> None:
    assert text.clip("x" * 5_000_000, head=3, tail=2) == ("xxx", 4_999_995, "xx")
    assert text.clip("short", head=3, tail=2) == ("short", 0, "")


def test_numbers_read_like_numbers() -> None:
    plain = [
        text.percent(0.914),
        text.percent(0.99999),
        text.percent(1.0),
        text.signed(-2.8),
        text.signed(-0.001, 2),
        text.compact(9999),
        text.compact(812_345),
        text.duration(0.42),
        text.duration(185),
        text.duration(7800),
    ]
    assert [value.replace(text.NBSP, " ") for value in plain] == [
        "91.4 %",
        "> 99.9 %",
        "100.0 %",
        "−2.8",
        "+0.00",
        "9,999",
        "812.3 k",
        "0.4 s",
        "3 min 5 s",
        "2 h 10 min",
    ]


def test_ticks_are_round_and_inside() -> None:
    assert scales.Scale(0, 104).ticks(5) == [
        (0.0, "0"),
        (24.04, "25"),
        (48.08, "50"),
        (72.12, "75"),
        (96.15, "100"),
    ]
    assert [tick.text for tick in scales.Scale(-1.3, 1.3).ticks(4)] == ["−1", "0", "1"]
    assert [tick.text for tick in scales.Scale(-0.03, 0.06).ticks(4)] == ["−0.025", "0.000", "0.025", "0.050"]
    assert [tick.text for tick in scales.Scale(0, 0.0003).ticks(3)] == ["0.0000", "0.0001", "0.0002", "0.0003"]
    assert [tick.text for tick in scales.Scale(0, 0.1).ticks(4, percent=True)][1] == "2.5\u00a0%"
    assert [tick.text for tick in scales.Scale(0, 1.06).ticks(3, whole=True)] == ["0", "1"]


def test_histograms_lose_no_value() -> None:
    bins = scales.edges(0, 1, 4)
    assert scales.counts(np.array([-5.0, 0.1, 0.3, 0.99, 1.0, 7.0]), bins).tolist() == [2, 1, 0, 3]


def test_token_bins_are_whole_numbers_that_reach_the_99th_percentile() -> None:
    bins = scales.token_bins(np.arange(1.0, 751.0))
    assert bins[0] == 0
    assert bins[-1] >= 742
    assert bins.tolist() == [round(edge) for edge in bins]


def test_a_response_without_end_of_turn_is_told_from_a_cut_one(example_fields: dict[str, object]) -> None:
    never_ended = Example(**{**example_fields, "chosen_keep": 20})  # type: ignore[arg-type]
    only_eot = Example(**{**example_fields, "chosen_keep": 19, "chosen": example_fields["chosen_full"]})  # type: ignore[arg-type]
    assert sides(never_ended)[0].mark == "all 20 tokens, but it never ended: no end-of-turn"
    assert sides(only_eot)[0].mark == "✂ 19 tokens kept of 20: only the end-of-turn is gone"


@pytest.fixture
def example_fields() -> dict[str, object]:
    return {
        "pair_id": "00",
        "source": "s",
        "verdict": "keep",
        "reason": None,
        "prompt": [],
        "chosen_full": "one two",
        "chosen": "one",
        "rejected_full": "no",
        "rejected": "no",
        "chosen_cut": True,
        "rejected_cut": False,
        "chosen_tokens": 20,
        "rejected_tokens": 2,
        "chosen_keep": 5,
        "rejected_keep": 2,
    }


@pytest.mark.parametrize(
    ("truncate", "words"),
    [
        ({"method": "poet"}, "both responses are cut to the length of the shorter one (POET)"),
        ({"method": "ratio", "ratio": 0.5}, "each response is cut to the first 50\u00a0% of its tokens"),
        ({"method": "tokens", "tokens": 256}, "each response is cut to at most 256 tokens"),
        (
            {"method": "poet", "eot": "never"},
            "both responses are cut to the length of the shorter one (POET), and none keeps its end-of-turn",
        ),
        ({"method": "none"}, "responses are cut only where they pass the context limit"),
    ],
)
def test_the_cut_is_named_in_words(truncate: dict[str, object], words: str) -> None:
    assert cut_in_words({"truncate": truncate}) == words
