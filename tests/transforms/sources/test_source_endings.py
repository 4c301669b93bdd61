"""How responses ended, in the words of those who sampled them."""

from typing import get_args

import pytest
from huggingface_hub.inference._generated.types.text_generation import TextGenerationOutputFinishReason
from sources_support import ASKED, QUESTION, adapt, chat, gathered, only_pair

from transforms.errors import RowError
from transforms.sources.endings import CUT, FINISHED, NO_RESPONSE, finished
from transforms.sources.kinds.distilabel import UNKNOWN_END
from transforms.sources.kinds.onpolicy import UNRATED
from transforms.sources.rows import Fields

ROW = {"prompt": QUESTION, "chosen": "Nile, Po.", "rejected": "Nile."}


def ended(**columns):
    pair = only_pair("preference", ROW | columns)
    return pair.chosen_finished, pair.rejected_finished


@pytest.mark.parametrize(
    ("word", "whole"),
    [
        ("stop", True), ("length", False), ("tool_calls", True), ("function_call", True),  # OpenAI
        ("end_turn", True), ("max_tokens", False), ("stop_sequence", True), ("tool_use", True),  # Anthropic
        ("pause_turn", False), ("model_context_window_exceeded", False),
        ("STOP", True), ("MAX_TOKENS", False), ("FinishReason.STOP", True),  # Gemini
        ("FINISH_REASON_MAX_TOKENS", False),
        ("eos_token", True), (" Length ", False),  # TGI
        ("abort", False), ("repetition", False),  # vLLM
        ("COMPLETE", True), ("ERROR_LIMIT", False), ("USER_CANCEL", False), ("STOP_SEQUENCE", True),  # Cohere
        ("true", True), ("False", False), (True, True), (False, False), (None, None), ("", None),
    ],
)  # fmt: skip
def test_finish_reasons_are_known_in_the_words_of_every_server(word, whole):
    assert finished(word, "x") is whole


@pytest.mark.parametrize(
    "word", ["content_filter", "SAFETY", "refusal", "error", "MALFORMED_FUNCTION_CALL", "ERROR_TOXIC"]
)
def test_what_was_stopped_from_outside_is_no_response(word):
    with pytest.raises(RowError, match=f"x is '{word}': what was sampled was stopped from outside"):
        finished(word, "x")


@pytest.mark.parametrize("word", ["weary", "stopped?", 3, ["stop"]])
def test_an_unknown_word_is_named_and_never_guessed(word):
    with pytest.raises(RowError, match=r"x is .*expected"):
        finished(word, "x")


def test_no_word_means_two_things_and_all_of_the_hubs_server_are_known():
    assert not FINISHED & CUT and not (FINISHED | CUT) & NO_RESPONSE
    assert set(get_args(TextGenerationOutputFinishReason)) <= FINISHED | CUT


@pytest.mark.parametrize(
    "columns",
    [
        {"chosen_finished": False},
        {"chosen_finished": "false"},
        {"chosen_truncated": True, "rejected_truncated": False},
        {"chosen_finish_reason": "length"},
        {"finish_reason_chosen": "length", "finish_reason_rejected": "stop"},
        {"chosen-finish_reason": "length"},
        {"finish_reason": {"chosen": "length", "rejected": "stop"}},
        {"finish_reason": {"chosen": "length", "rejected": None}},
        {"finish_reason": '{"chosen": "length", "rejected": "stop"}'},
        {"finish_reason": ["length", "stop"]},
        {"finish_reasons": ["length", "stop"]},
        {"finished": {"chosen": False, "rejected": True}},
        {"chosen_stop_reason": "max_tokens"},
        {"stop_reason": {"chosen": "max_tokens", "rejected": "end_turn"}},
        {"done_reason": {"chosen": "length", "rejected": "stop"}},
        {"chosen": [{"role": "assistant", "content": "a", "finish_reason": "length"}]},
        {"chosen": {"role": "assistant", "content": "a", "stop_reason": "max_tokens"}},
        {"chosen_finish_reason": "length", "chosen_finished": False, "finish_reason": ["length", "stop"]},
    ],
)
def test_a_response_that_ran_out_of_room_is_known_wherever_the_row_says_so(columns):
    assert ended(**columns) == (False, True)


def test_a_row_that_says_nothing_has_two_finished_responses():
    assert ended() == ended(finish_reason=None, chosen_finished=None) == ended(finish_reason="stop") == (True, True)


def test_vllms_stop_reason_is_read_only_where_there_is_no_finish_reason():
    # It is the string or the token that stopped the response, and null at its end-of-turn or at its limit.
    assert ended(chosen_finish_reason="stop", chosen_stop_reason="</answer>") == (True, True)
    assert ended(chosen_finish_reason="length", chosen_stop_reason=None) == (False, True)
    assert ended(chosen_stop_reason=128009) == (True, True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"chosen_finished": True, "chosen_finish_reason": "length"},
         "chosen cannot be both finished and cut: chosen_finished says finished, chosen_finish_reason says cut"),
        ({"rejected_truncated": True, "finish_reason": ["stop", "stop"]},
         r"rejected_truncated says cut, finish_reason\[1\] says finished"),
        ({"finish_reason": "length"}, "finish_reason is 'length' and does not say of which response"),
        ({"chosen_finished": "maybe"}, "chosen_finished is the text 'maybe', expected true or false"),
        ({"chosen_finish_reason": 7}, "chosen_finish_reason is 7, expected a finish reason"),
        ({"rejected": [{"role": "assistant", "content": "b", "finish_reason": "huh"}]},
         "the finish reason in rejected is 'huh', an unknown finish reason"),
    ],
)  # fmt: skip
def test_statements_that_contradict_or_say_nothing_are_refused(columns, message):
    with pytest.raises(RowError, match=message):
        ended(**columns)


SAMPLED = {
    "prompt_id": "p1", "all_generated_responses": ["a", "b", "c"], "all_rm_scores": [0.9, 0.1, 0.5],
    "chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, "b"),
}  # fmt: skip


@pytest.mark.parametrize(
    "ends",
    [
        {"all_finish_reasons": ["stop", "length", "stop"]},
        {"finish_reasons": ["end_turn", "max_tokens", "end_turn"]},
        {"all_finished": [True, False, True]},
        {"finished": [True, False, None]},
    ],
)
def test_onpolicy_sets_say_how_each_of_their_responses_ended(ends):
    found = adapt("onpolicy", SAMPLED | ends)
    assert [one.finished for one in found.responses] == [True, False, True]
    assert [(pair.chosen_finished, pair.rejected_finished) for pair in found.pairs] == [(True, False)]


def test_onpolicy_token_ids_are_those_of_the_texts_of_the_pair():
    row = SAMPLED | {"all_token_ids": [[1], [2, 3], [4]], "prompt_token_ids": [9]}
    pair = only_pair("onpolicy", row)
    assert (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids) == ((9,), (1,), (2, 3))
    assert only_pair("onpolicy", row, token_ids="ignore").chosen_ids is None


def test_onpolicy_lists_of_another_length_are_refused():
    with pytest.raises(RowError, match="2 all_finish_reasons for 3 responses, expected equally many"):
        adapt("onpolicy", SAMPLED | {"all_finish_reasons": ["stop", "stop"]})
    with pytest.raises(RowError, match="1 all_token_ids for 3 responses"):
        adapt("onpolicy", SAMPLED | {"all_token_ids": [[1]]})


def test_onpolicy_one_text_of_one_score_that_both_ended_and_did_not_is_refused():
    row = SAMPLED | {"all_generated_responses": ["a", "b", "a"], "all_rm_scores": [0.9, 0.1, 0.9]}
    with pytest.raises(RowError, match="chosen is several responses of one score, of which some ended"):
        adapt("onpolicy", row | {"all_finished": [True, True, False]})
    # Another score is another response: the pair was made of the best.
    best = row | {"all_rm_scores": [0.8, 0.1, 0.9], "all_finished": [True, True, False]}
    assert not only_pair("onpolicy", best).chosen_finished


def test_onpolicy_what_the_list_says_may_not_contradict_the_row():
    with pytest.raises(RowError, match="chosen cannot be both finished and cut"):
        adapt("onpolicy", SAMPLED | {"all_finished": [False, True, True], "chosen_finish_reason": "stop"})


def test_ultrafeedback_completions_may_say_how_they_ended():
    ratings = {name: {"Rating": "5"} for name in ("helpfulness", "honesty", "instruction_following", "truthfulness")}
    low = {name: {"Rating": "1"} for name in ratings}
    completions = [
        {"response": "a", "annotations": ratings, "finish_reason": "stop"},
        {"response": "b", "annotations": low, "finish_reason": "length"},
    ]
    found = adapt("ultrafeedback", {"instruction": QUESTION, "completions": completions, "system": "s"})
    assert [one.finished for one in found.responses] == [True, False]
    assert found.prompt == found.pairs[0].prompt != ASKED
    assert not found.pairs[0].rejected_finished


TURNS = [{"role": "user", "content": QUESTION}]
NILE, PO = ([*TURNS, {"role": "assistant", "content": text}] for text in ("Nile.", "Nile, Po."))
RATED = {name: {"Rating": "2"} for name in ("helpfulness", "honesty", "instruction_following", "truthfulness")}
# The worse of two responses first: a list of two beside them is in that order.
WORSE_FIRST = {
    "onpolicy": {
        "all_generated_responses": ["Nile.", "Nile, Po."], "all_rm_scores": [0.1, 0.9], "chosen": PO, "rejected": NILE,
    },
    "distilabel": {"instruction": QUESTION, "generations": ["Nile.", "Nile, Po."], "ratings": [2, 5]},
    "ultrafeedback": {
        "instruction": QUESTION,
        "completions": [
            {"response": "Nile.", "annotations": RATED},
            {"response": "Nile, Po.", "annotations": {name: {"Rating": "5"} for name in RATED}},
        ],
    },
    "arena": {
        "model_a": "a", "model_b": "b", "winner": "model_b", "conversation_a": NILE, "conversation_b": PO, "turn": 1,
    },
    "helpsteer3": {
        "domain": "general", "context": TURNS, "response1": "Nile.", "response2": "Nile, Po.", "overall_preference": 2,
    },
    "nectar": {
        "prompt": f"\n\nHuman: {QUESTION}\n\nAssistant: ", "source": ["x"],
        "answers": [{"answer": "Nile.", "rank": 2.0}, {"answer": "Nile, Po.", "rank": 1.0}],
    },
    "orca_dpo_pairs": {
        "system": "", "input": QUESTION, "chosen": "Nile, Po.", "rejected": "Nile.", "order": ["rejected", "chosen"],
        "generations": ["Nile.", "Nile, Po."], "rating": [2, 5], "status": "swapped",
    },
}  # fmt: skip


@pytest.mark.parametrize("column", ["finish_reasons", "finish_reason", "finished"])
@pytest.mark.parametrize("kind", WORSE_FIRST)
def test_a_list_of_two_in_the_order_of_the_responses_is_never_taken_for_chosen_and_rejected(kind, column):
    ends = [False, True] if column == "finished" else ["length", "stop"]
    pair = only_pair(kind, WORSE_FIRST[kind] | {column: ends})
    assert (pair.chosen, pair.rejected) == ("Nile, Po.", "Nile.")
    assert pair.chosen_finished
    assert pair.rejected_finished is (kind not in ("onpolicy", "distilabel"))  # the others leave it unread, and say so


def test_ratings_in_the_order_of_the_models_are_no_scores_of_chosen_and_rejected():
    pair = only_pair("arena", WORSE_FIRST["arena"] | {"ratings": [2, 5]})
    assert (pair.chosen_score, pair.rejected_score) == (None, None)


def test_of_several_lists_the_first_that_holds_something_says_how_the_responses_ended():
    row = WORSE_FIRST["onpolicy"] | {"all_finish_reasons": [None, None], "finished": [False, True]}
    pair = only_pair("onpolicy", row)
    assert (pair.chosen_finished, pair.rejected_finished) == (True, False)


@pytest.mark.parametrize(("ends", "whole"), [(["length", "stop"], (True, False)), (["stop", "length"], (False, True))])
def test_a_pair_that_distilabel_made_ended_as_its_generations_did(ends, whole):
    row = WORSE_FIRST["distilabel"] | {"chosen": PO, "rejected": NILE, "finish_reasons": ends}
    pair = only_pair("distilabel", row)
    assert (pair.chosen_finished, pair.rejected_finished) == whole


def test_a_side_that_is_several_generations_cannot_have_ended_both_ways():
    row = WORSE_FIRST["distilabel"] | {"generations": ["Nile.", "Nile."], "chosen": PO, "rejected": NILE}
    with pytest.raises(RowError, match="rejected is several generations, of which some ended and some did not"):
        adapt("distilabel", row | {"finish_reasons": ["length", "stop"]})


@pytest.mark.parametrize(
    ("columns", "ends"),
    [
        ({"truncated": {"chosen": True, "rejected": False}}, (False, True)),
        ({"truncated": [False, True]}, (True, False)),
        ({"finished": "[false, true]"}, (False, True)),
        ({"truncated": False}, (True, True)),
    ],
)
def test_flags_of_both_sides_say_it_like_reasons_of_both(columns, ends):
    assert ended(**columns) == ends


def test_a_flag_that_is_of_no_side_is_refused():
    with pytest.raises(RowError, match="truncated is True and does not say of which response"):
        ended(truncated=True)


CUT_SHORT = [
    {"finish_reason": "length"}, {"finishReason": "MAX_TOKENS"}, {"done_reason": "length"}, {"finished": False},
    {"truncated": True}, {"stop_reason": "max_tokens"}, {"finish_reason": "length", "stop_reason": 128009},
]  # fmt: skip


@pytest.mark.parametrize("said", CUT_SHORT)
def test_one_response_says_how_it_ended_in_every_kind_that_has_it_in_an_object_of_its_own(said):
    ratings = {name: {"Rating": "5"} for name in ("helpfulness", "honesty", "instruction_following", "truthfulness")}
    worse = {name: {"Rating": "2"} for name in ratings}
    good, bad = {"prompt": QUESTION, "helpfulness": 4}, {"prompt": QUESTION, "helpfulness": 1}
    rows = {
        "ultrafeedback": {"instruction": QUESTION, "completions": [
            {"response": "a", "annotations": ratings, **said}, {"response": "b", "annotations": worse}]},
        "nectar": {"prompt": f"\n\nHuman: {QUESTION}\n\nAssistant:",
                   "answers": [{"answer": "a", "rank": 1, **said}, {"answer": "b", "rank": 2}]},
        "helpsteer2": gathered("helpsteer2", [good | {"response": "a"} | said, bad | {"response": "b"}])[0],
        "kto": gathered("kto", [{"prompt": "q", "completion": "a", "label": True, **said},
                                {"prompt": "q", "completion": "b", "label": False}])[0],
    }  # fmt: skip
    for kind, row in rows.items():
        pair = only_pair(kind, row)
        assert (kind, pair.chosen, pair.chosen_finished, pair.rejected_finished) == (kind, "a", False, True)


def test_two_words_on_one_response_may_not_contradict_each_other():
    row = {"prompt": "q", "completion": "a", "label": True, "completion_finish_reason": "length", "finished": True}
    (bad, *_) = gathered("kto", [row, {"prompt": "q", "completion": "b", "label": False},
                                 {"prompt": "q", "completion": "c", "label": True}])  # fmt: skip
    assert bad.error == (
        "the completion cannot be both finished and cut: finished says finished, completion_finish_reason says cut"
    )


def test_the_last_message_says_it_where_turns_are_judged_and_where_fields_are_ranked():
    asked, cut = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "finish_reason": "length"}
    judged = {"question_id": 81, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "expert_1", "turn": 1}
    pair = only_pair("mt_bench", judged | {"conversation_a": [asked, cut], "conversation_b": chat("q", "b")})
    assert (pair.chosen_finished, pair.rejected_finished) == (False, True)
    pair = only_pair("argilla", {"prompt": "q", "response1": "b", "response2": cut, "best.responses": ["response2"]})
    assert (pair.chosen_finished, pair.rejected_finished) == (False, True)


def test_lists_beside_all_responses_may_be_json_text_or_say_what_was_cut():
    row = {"chosen": chat("q", "a"), "rejected": chat("q", "b"), "all_generated_responses": ["b", "a"],
           "all_rm_scores": [1, 2]}  # fmt: skip
    for said in ({"all_finish_reasons": '["stop", "length"]'}, {"all_truncated": [False, True]}):
        pair = only_pair("onpolicy", row | said)
        assert (pair.chosen_finished, pair.rejected_finished) == (False, True)


def test_a_side_that_is_none_of_the_responses_is_counted_and_a_response_that_is_no_text_refused():
    row = {"chosen": chat("q", "a "), "rejected": chat("q", "b"), "all_generated_responses": ["b", "a"],
           "all_rm_scores": [1, 2], "all_finish_reasons": ["stop", "length"]}  # fmt: skip
    fields = Fields(row)
    only_pair("onpolicy", fields)
    assert fields.notes() == {UNRATED: 1}
    with pytest.raises(RowError, match=r"all_generated_responses\[1\] is list, expected text or null"):
        only_pair("onpolicy", row | {"all_generated_responses": ["b", chat("q", "a")]})
    fields = Fields({"instruction": "q", "generations": ["b", "a"], "ratings": [1, 2], "chosen": "x", "rejected": "b",
                     "finish_reasons": ["stop", "length"]})  # fmt: skip
    only_pair("distilabel", fields)
    assert fields.notes() == {UNKNOWN_END: 1}
