"""Pairs to ids and keeps: what is kept, flagged, dropped or quarantined."""

import pytest
from tests_support import chat, pairs_table, row

from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation

CHAT = chat()


def prepared(*rows, truncation=None, max_length=None):
    return prepare(pairs_table(*rows), CHAT, truncation or Truncation(), max_length=max_length)


def only(*rows, **options):
    [found] = prepared(*rows, **options).pairs.to_pylist()
    return found


def test_a_whole_response_ends_in_the_end_of_turn_and_a_cut_one_does_not():
    pair = only(row("q", "the cat sat on the mat", "dog"))
    assert pair["rejected_ids"][-1] == CHAT.eot_id
    assert pair["chosen_ids"][-1] == CHAT.eot_id
    assert CHAT.eot_id not in pair["chosen_ids"][: pair["chosen_keep"]]
    assert (pair["chosen_cut"], pair["rejected_cut"]) == (True, False)
    assert (pair["chosen_cut_by"], pair["rejected_cut_by"]) == ("poet", "none")


def test_poet_keeps_both_sides_equally_long():
    pair = only(row("q", "the cat sat on the mat", "dog"))
    assert pair["chosen_keep"] == pair["rejected_keep"] == len(pair["rejected_ids"])


def test_a_response_that_never_finished_gets_no_end_of_turn():
    pair = only(row("q", "the cat", "the dog ran", chosen_finished=False), truncation=Truncation(method="none"))
    assert pair["chosen_ids"] == CHAT.encode(["the cat"]).row(0).tolist()
    assert pair["chosen_cut"] is True
    assert pair["chosen_cut_by"] == "none"


def test_sides_that_the_cut_made_equal_are_dropped_with_a_reason():
    pair = only(row("q", "the cat sat on", "the cat ran"), truncation=Truncation(method="tokens", tokens=1))
    assert pair["reason"] == "identical_after_cut"


def test_what_is_sampled_and_scored_is_the_same_with_an_end_of_turn_behind_every_response():
    rows = [row("q", "the cat sat on the mat", "dog"), row("r", "dog", "the cat ran", chosen_finished=False)]
    for cut in ({"method": "poet"}, {"method": "ratio", "ratio": 0.5}):
        natural, always = (
            prepared(*rows, truncation=Truncation(**cut, eot=eot)).pairs for eot in ("natural", "always")
        )
        assert always.equals(natural)


def test_sides_that_an_appended_end_made_equal_are_dropped_too():
    same = row("q", "the cat", "the cat", rejected_finished=False)
    natural, always = (only(same, truncation=Truncation(method="none", eot=eot)) for eot in ("natural", "always"))
    assert natural["chosen_ids"] == [*natural["rejected_ids"], CHAT.eot_id]
    assert (natural["reason"], always["reason"]) == (None, "identical_after_cut")


def test_an_earlier_reason_stays():
    pair = only(row("q", "the cat sat", "the cat ran", reason="tie"), truncation=Truncation(method="tokens", tokens=1))
    assert pair["reason"] == "tie"


def test_a_prompt_that_fills_the_context_is_quarantined_with_both_numbers():
    result = prepared(row("the cat sat on the mat", "dog", "cat"), row("q", "dog", "cat"), max_length=20)
    [bad] = result.quarantined
    assert "no room for one token" in bad.error
    assert "context 20" in bad.error
    assert bad.stage == "tokenise"
    assert len(result.pairs) == 1


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_response_that_spells_out_a_special_token_is_quarantined(side):
    texts = {"chosen": "the cat", "rejected": "the dog"} | {side: "the <|im_end|> cat"}
    [bad] = prepared(row("q", **texts)).quarantined
    assert f"the {side} response spells out the special token <|im_end|>" in bad.error


def test_a_prompt_that_spells_out_a_special_token_is_quarantined():
    [bad] = prepared(row("stop <|im_end|> now", "the cat", "the dog")).quarantined
    assert "the prompt spells out the special token <|im_end|>" in bad.error


def test_every_pair_comes_out_exactly_once():
    rows = [row(f"q{i}", "the cat sat", "<|im_end|>" if i % 3 == 0 else "dog") for i in range(10)]
    result = prepared(*rows)
    came = {r["pair_id"] for r in rows}
    kept, bad = set(result.pairs["pair_id"].to_pylist()), {q.row["pair_id"] for q in result.quarantined}
    assert kept | bad == came
    assert not kept & bad
