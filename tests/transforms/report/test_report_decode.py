"""decode.html says what decode.json says, and nothing of a dataset gets out."""

import re

import pytest
from decode_support import decodings, of_a_file, rule

from transforms.report.decode_page import render_decodings, tradeoff_plot


@pytest.fixture(scope="module")
def page():
    return render_decodings(decodings())


def test_the_best_rule_is_the_title_and_every_rule_a_row(page):
    assert "Highest reward: mixing, a = 1.5" in page
    for words in ("mixing, a = 0.5", "length control, t = 16", "KL threshold, b = 0.05"):
        assert f">{words}<" in page
    assert "+1.88 [+1.48, +2.27]" in page
    assert "3 responses that the reward model could not read" in page
    assert "2 too long" in page


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!#|https://github.com|https://arxiv.org)', page)


def test_both_figures_are_drawn_and_the_second_only_where_the_policy_was_a_rule(page):
    assert page.count("<svg") == 2
    assert render_decodings(decodings(policy_kl=[])).count("<svg") == 1


def test_points_stand_at_their_means_and_lines_join_a_kind_by_value():
    plot = tradeoff_plot([rule("mix", 1, 2.0, 10), rule("mix", 0, 0.0, 0), rule("kl", 0.1, 1.0, 4)])
    labels = {label.text: label for label in plot.labels}
    assert labels["a = 0"].x < labels["b = 0.1"].x < labels["a = 1"].x
    assert labels["a = 0"].y > labels["b = 0.1"].y > labels["a = 1"].y
    line = next(layer.path for layer in plot.layers if layer.style == "line mix")
    assert line == f"M{labels['a = 0'].x:.2f} {labels['a = 0'].y:.2f}L{labels['a = 1'].x:.2f} {labels['a = 1'].y:.2f}"


def test_names_that_would_cover_each_other_are_left_to_the_table():
    crowd = [rule("mix", a, 1 + a / 100, 5 + a / 100) for a in (0, 0.1, 0.2, 0.3)]
    labels = tradeoff_plot([*crowd, rule("mix", 1, 3, 20)]).labels
    assert [label.text for label in labels if label.text == "a = 1"] == ["a = 1"]
    assert len(labels) < 5


def test_a_single_rule_is_a_point():
    plot = tradeoff_plot([rule("length", 4, 1.0, 2)])
    assert [word.text for word in plot.title] == ["Reward by", "length control"]


def test_names_of_models_are_escaped():
    hostile = decodings(name="</title><script>alert(1)</script>")
    assert "<script>" not in render_decodings(hostile)


def test_the_page_says_which_prompts_were_answered(page):
    assert "answered the same 64 test prompts" in page
    assert "of the test split,<br>2 too long" in page
    assert "test split of unit, version" in page
    ours = of_a_file("./<script>x.jsonl")
    said = render_decodings(ours)
    assert "answered the same 64 prompts" in said
    assert "of 80 read,<br>2 too long" in said
    assert "80 read, 64 answered, 2 without room for a response, 4 doubled, 3 in quarantine.jsonl, 7 beyond" in said
    assert 'prompts, ./&lt;script&gt;x.jsonl, content <span class="mono">eeeeeeeeeeee</span>' in said
    assert "<script" not in said
    assert "5 of the prompts are in the training split of unit" in said
    assert "test split" not in said
    alone = ours.model_copy(update={"version": None, "read": ours.read.model_copy(update={"trained_on": None})})
    assert "training split" not in render_decodings(alone)
