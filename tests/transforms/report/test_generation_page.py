"""The report of a generation: its sections, what it leaves out, and that no text of strangers becomes markup."""

import re

import pytest
from generation_report_support import (
    CONFIG,
    HOSTILE,
    MODEL,
    annotator,
    answered,
    counts,
    generation,
    pairs,
    responses,
    share,
    three_annotators,
    voice,
)

from transforms.errors import SchemaError
from transforms.records.generation import LengthRecord, ReliabilityRecord
from transforms.report.environment import policy
from transforms.report.generation_page import render_generation
from transforms.report.generation_rows import QuarantineKind, QuarantineSummary

SECTIONS = ["funnel", "policies", "annotators", "length", "margins", "read", "quarantine", "cost", "provenance"]


def plain(html: str) -> str:
    """Its words on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", html[html.index("<body>") :]).replace("&nbsp;", " ").split())


def test_a_page_with_one_annotator_and_none_of_the_optional_parts_says_what_it_lacks() -> None:
    html = render_generation(generation(), responses(), pairs())
    words = plain(html)
    assert "1 pair from 3 prompts" in words
    assert "6 responses of 1 policy, judged by 1 annotator." in words
    assert "Not measured: there is one annotator." in words
    assert "No slope: no prompt has scored responses of different lengths." in words
    assert 'id="read"' not in html
    assert 'href="#read"' not in html
    assert "What was quarantined Nothing." in words
    assert "Which policy wins against which" not in words
    assert "objectives beside the scores" not in words
    assert "Time 4.0 s 81 tokens sampled 0 reused" in words


def test_sections_stand_in_order_and_the_navigation_leads_to_each() -> None:
    html = render_generation(generation(), responses(), pairs(), [answered()])
    assert re.findall(r'<section id="(\w+)">', html) == SECTIONS
    assert re.findall(r'<a href="#(\w+)">', html) == SECTIONS


def test_a_page_loads_nothing_and_runs_no_script() -> None:
    html = render_generation(generation(), responses(), pairs(), [answered()])
    assert f'content="{policy("")}"' in html
    assert "script-src" not in html
    assert not re.search(r"<(script|img|link|iframe|object|form)\b", html)


def test_three_annotators_of_which_one_is_pairwise_stand_side_by_side() -> None:
    manifest, frame = three_annotators()
    html = render_generation(manifest, frame, pairs())
    words = plain(html)
    assert "judge judge, pairwise org/model 6 0" in words
    assert "brief something_new org/model 6 0 – – –" in words  # a kind that nothing here knows
    assert "Price 1.25" in words
    assert "First place wins – 70.0 % [55.0, 80.0] –" in words
    assert "reward · +0.50 [+0.25, +0.75] 2 prompts, 1 left out" in words
    assert "judge 100.0 % [30.0, 100.0] of 2 prompts · – no prompt can be compared" in words
    assert html.count('class="plot"') == 1 + 3 + 2 + 1  # scores by policy, by annotator, length, margins
    assert "Before you train on these pairs" in words
    assert (
        "reward: 4 responses asked about twice. judge: 0 responses asked about twice, 8 comparisons in both orders"
        in words
    )


def test_objectives_have_their_correlation_with_the_score_within_prompts() -> None:
    manifest, frame = three_annotators()
    words = plain(render_generation(manifest, frame, pairs()))
    # help rises by 1 where the score rises by 2 (prompt 0), and is constant elsewhere; safe falls.
    assert "reward help +1.20 0.75 +1.00" in words
    assert "reward safe +0.50 0.32 −1.00" in words


def test_an_objective_of_one_value_has_no_correlation() -> None:
    manifest, frame = three_annotators()
    flat = frame.with_columns(score_reward_help=1.0)
    assert "reward help +1.00 0.00 –" in plain(render_generation(manifest, flat, pairs()))


def test_the_length_that_is_liked_is_a_sentence_and_two_figures() -> None:
    fit = LengthRecord(slope=1.0, low=0.5, high=1.5, explained=0.25, applied=True)
    words = plain(render_generation(generation(length=fit), responses(), pairs()))
    assert "a difference of +0.69 (95 % interval +0.35 to +1.04) points of score; length explains 25.0 %" in words
    assert "The chosen side is the longer one in 100.0 % [20.7, 100.0] of 1 pair" in words
    assert "the difference of the two scores, less what length explains" in words


def test_a_policy_without_responses_and_a_run_without_pairs_are_told_without_a_division() -> None:
    empty = generation(
        voices=[voice(responses=0, finished=0, tokens=0, status={}, chosen=0, rejected=0, mean_score=None)],
        annotators=[annotator(scored=0, mean=None, sd=None, unscored={})],
        counts=counts(
            drawn=0, responses=0, status={}, with_pair=0, without_pair={}, pairs=0, found=0, prompts=0, raw_rows=0
        ),
        seconds={},
    )
    words = plain(render_generation(empty, responses().clear(), pairs().clear()))
    assert "0 pairs from 0 prompts" in words
    assert "There is no pair." in words


def test_two_policies_have_a_table_of_who_wins_against_whom() -> None:
    manifest = generation(voices=[voice("small"), voice("large")])
    both = responses(policy=["small", "large"] * 3)
    words = plain(render_generation(manifest, both, pairs()))
    assert "chosen of, rejected of small large small 0 0 large 1 0" in words


def test_examples_show_prompt_pair_and_all_responses_with_their_scores() -> None:
    words = plain(render_generation(generation(), responses(), pairs(), [answered("A long answer")]))
    assert "the widest margin margin +2.00 2 responses prompts" in words
    assert "Chosen policy · 4 tokens · score +3.00 A long answer" in words
    assert "Rejected policy · 2 tokens · score +1.00 reasoning think Nile ran out of room: no end-of-turn" in words
    assert "All 2 responses with their scores 1. policy , chosen · 4 tokens · score +3.00 A long answer" in words


def test_an_example_without_a_pair_says_why_and_lies_open() -> None:
    alone = answered(unpaired="tie", margin=None, responses=[])
    html = render_generation(generation(), responses(), pairs(), [alone])
    assert "no pair: its responses have equal scores" in plain(html)
    assert '<details class="more" open><summary>All 0 responses' in html


def test_what_was_quarantined_is_told_by_error_with_its_first_row() -> None:
    kinds = [QuarantineKind("annotate", "no verdict", 3, "prompts", "p7", '{"prompt": "x"}')]
    words = plain(render_generation(generation(), responses(), pairs(), (), QuarantineSummary(5, kinds, 2)))
    assert "5 lines of quarantine.jsonl : 1 of rows and prompts that cannot be used, 1 of responses" in words
    assert "3 annotate no verdict prompts p7 its row {&#34;prompt&#34;: &#34;x&#34;}" in words
    assert "And 2 lines with other errors." in words


def test_hostile_text_stays_text_wherever_it_comes_from() -> None:
    kinds = [QuarantineKind(HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE)]
    said = answered(HOSTILE, source=HOSTILE, why=HOSTILE, prompt_id=HOSTILE)
    model = MODEL.model_copy(update={"name": HOSTILE})
    manifest = generation(
        name=HOSTILE,
        voices=[voice(HOSTILE, model=model, interpolation={"of": HOSTILE})],
        annotators=[annotator(model=model, unscored={HOSTILE: 1}, kind=HOSTILE)],
        reliability=[ReliabilityRecord(label=HOSTILE, ties=share(0.5))],
        counts=counts(without_pair={HOSTILE: 1, "tie": 1}, status={"usable": 5, HOSTILE: 1}),
        config={**CONFIG, "policies": [{"system_prompt": HOSTILE}], "aggregate": HOSTILE},
        packages={HOSTILE: HOSTILE},
    )
    html = render_generation(manifest, responses(policy=HOSTILE), pairs(), [said], QuarantineSummary(1, kinds, 0))
    assert not re.search(r"<(script|img)\b", html)
    assert "{{ 7*7 }}" in html
    assert "\u202e" not in html
    assert "\x00" not in html
    html.encode("utf-8")  # no lone surrogate is left


@pytest.mark.parametrize("missing", ["score", "chosen_in", "score_reward"])
def test_rows_without_a_column_make_no_page(missing: str) -> None:
    with pytest.raises(SchemaError, match=missing):
        render_generation(generation(), responses().drop(missing), pairs())
