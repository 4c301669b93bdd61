import json

import pytest
from tests_support import tiny_tokenizer

from transforms.chat.conversation import Asked, answer
from transforms.engines.reward_inputs import RewardInputs
from transforms.engines.tokenizer import context_length, load_tokenizer
from transforms.errors import ModelError

USER = [{"role": "user", "content": "one two"}]


def test_a_models_own_fast_tokenizer_is_loaded(tiny_policy):
    tokenizer = load_tokenizer(tiny_policy)
    assert tokenizer.is_fast
    assert tokenizer.decode([2]) == "<|im_end|>"


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path):
    tiny_tokenizer(template=None).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"has no chat template\. Use the model's instruct version"):
        load_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="no tokenizer can be loaded from"):
        load_tokenizer(tmp_path)


def test_the_context_is_that_of_the_config(tiny_policy):
    assert context_length(tiny_policy) == 512


def test_a_config_without_a_context_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(ModelError, match="max_position_embeddings=None, expected a positive number"):
        context_length(tmp_path)


def test_a_missing_config_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="no model config can be loaded"):
        context_length(tmp_path)


def test_reward_inputs_are_the_whole_conversation_in_the_models_own_template(tiny_reward):
    inputs = RewardInputs(tiny_reward)
    (ids,) = inputs.token_ids([Asked(USER)], [answer("three")])
    text = "<|im_start|>user\none two<|im_end|>\n<|im_start|>assistant\nthree<|im_end|>\n"
    assert ids == load_tokenizer(tiny_reward).encode(text, add_special_tokens=False)
    assert inputs.context == 512


def test_reward_inputs_of_many_conversations_equal_those_of_each_alone(tiny_reward):
    inputs = RewardInputs(tiny_reward)
    responses = [answer(text) for text in ("three", "", "four five six")]
    together = inputs.token_ids([Asked(USER)] * 3, responses)
    assert together == [inputs.token_ids([Asked(USER)], [response])[0] for response in responses]
    assert inputs.token_ids([], []) == []


def test_a_conversation_that_goes_on_ends_with_the_answers_last_character(tiny_reward):
    inputs = RewardInputs(tiny_reward)
    found = inputs.open_token_ids([Asked(USER)] * 3, [answer(text) for text in ("three", "three ", "")])
    start = "<|im_start|>user\none two<|im_end|>\n<|im_start|>assistant\n"
    encode = load_tokenizer(tiny_reward).encode
    assert found == [encode(start + text, add_special_tokens=False) for text in ("three", "three ", "")]
    assert inputs.open_token_ids([], []) == []


def test_reasoning_that_goes_on_ends_with_its_last_character(tiny_reward, tmp_path):
    template = (
        "{% for m in messages %}[{{ m['role'] }}]"
        "{% if m.reasoning_content %}<t>{{ m.reasoning_content }}</t>{% endif %}"
        "{{ m['content'] }}<|im_end|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tiny_tokenizer(template=template).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_reward / "config.json").read_bytes())
    thought = {"reasoning_content": "three"}
    thinking, thought_out, said = answer(None, thought), answer("", thought), answer("four", thought)
    found = RewardInputs(tmp_path).open_token_ids([Asked(USER)] * 3, [thinking, thought_out, said])
    encode = load_tokenizer(tmp_path).encode
    start = "[user]one two<|im_end|>[assistant]<t>three"
    assert found == [encode(start + text, add_special_tokens=False) for text in ("", "</t>", "</t>four")]


def test_a_template_that_leaves_out_where_an_answer_is_cut_says_so(tiny_reward, tmp_path):
    template = "{% for m in messages %}{{ m['content'][:5] }}<|im_end|>{% endfor %}"
    tiny_tokenizer(template=template).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_reward / "config.json").read_bytes())
    short = [{"role": "user", "content": "one"}]
    [why] = RewardInputs(tmp_path).open_token_ids([Asked(short)], [answer("three")])
    assert f"the chat template of the reward model {tmp_path}" in why


def test_a_conversation_that_the_template_refuses_gets_its_message_and_the_others_their_ids(tiny_reward, tmp_path):
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    tiny_tokenizer(template=refusal + "{% for m in messages %}{{ m['content'] }}{% endfor %}").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_reward / "config.json").read_bytes())
    prompts = [[{"role": "system", "content": "be"}, *USER], USER]
    refused, fine = RewardInputs(tmp_path).token_ids([Asked(turns) for turns in prompts], [answer("x")] * 2)
    assert "refuses the conversation: TemplateError: no system turn" in refused
    assert isinstance(fine, list)
