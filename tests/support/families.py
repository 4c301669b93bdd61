"""Tokenizers of real model families, made of what is installed: no download.

Templates are those that TRL ships, and short ones of families that it does not have, as their model cards have them.
Vocabularies: SentencePiece ones are Mistral's, which mistral_common ships (a dependency of vLLM), in the ways in which
checkpoints have them; the others take SmolLM2's byte-level one, a byte-level one with Qwen's way to split, or a Unigram
one that is trained on a few lines here. A family's marks are added as its special tokens.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from transforms.chat.probes import Probed, try_all
from transforms.chat.tokens import ChatTokens
from transforms.engines.starter_model import smollm2_folder

# What a family's template writes that its vocabulary has as a token of its own.
_MARK: Final = re.compile(r"<[|｜][^<>\s]{1,40}?[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|</?(?:think|tool_call|tool_response)>")
# Special in the templates where a mark stands in no angle brackets.
_MORE: Final = {
    "gemma": ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
    "cohere": [],
    "glm4moe": ["[gMASK]", "<sop>"],
    "llava_next": ["<s>", "</s>", "<image>"],
    "smolvlm": ["<end_of_utterance>", "<image>"],
    "idefics3": ["<end_of_utterance>", "<image>"],
}
# Families whose vocabulary is unlike the others', which all keep newlines together.
_VOCABULARIES: Final = {
    "gemma": "gemma",
    "diffusion_gemma": "gemma",
    "phi3": "sentencepiece",
    "llava_next": "sentencepiece",
    "smolvlm": "smollm2",
    "cohere": "bytes",
    "lfm2": "bytes",
}
_PLAIN_ADDED: Final = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

_ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n' + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
_LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set turns = messages %}{% set system = false %}{% endif %}"
    "{% for message in turns %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and system != false %}"
    "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
_MISTRAL_V1 = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
_MISTRAL_V3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + '[/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
_VICUNA = (
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + ' ' }}{% set turns = messages[1:] %}"
    "{% else %}{{ 'A chat between a curious user and an assistant. ' }}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
_SOLAR = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{% if message['content'] %}"
    "{{ '### System:\n' + message['content'] + '\n\n' }}{% endif %}"
    "{% elif message['role'] == 'user' %}{{ '### User:\n' + message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Assistant:\n' + message['content'] }}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}{% endfor %}"
)
_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CHATML_ENDLESS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
)
_SPACED = _VICUNA.replace("'ASSISTANT:' }}{% endif %}", "'ASSISTANT: ' }}{% endif %}")
_DATED = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %B %Y') + '.<|im_end|>\n' }}" + _CHATML

_ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
)
_APART = (
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set turns = messages %}{% endif %}"
)
_LLAMA3_FIRST = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
_GLM_EDGE = (
    "{% for item in messages %}{% if item['role'] == 'system' %}<|system|>\n{{ item['content'] }}"
    "{% elif item['role'] == 'user' %}<|user|>\n{{ item['content'] }}"
    "{% elif item['role'] == 'assistant' %}<|assistant|>\n{{ item['content'] }}{% endif %}{% endfor %}<|assistant|>"
)
_NEMO = (
    _APART + "{{ bos_token }}{% for message in turns %}"
    "{% if message['role'] == 'user' %}"
    "{% if tools and message == (turns | selectattr('role', 'equalto', 'user') | list)[-1] %}"
    "{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}"
    "{% if loop.last and system is defined %}"
    "{{ '[INST]' + system + '\n\n' + message['content'] + '[/INST]' }}"
    "{% else %}{{ '[INST]' + message['content'] + '[/INST]' }}{% endif %}"
    "{% elif message.tool_calls is defined and message.tool_calls is not none %}{{ '[TOOL_CALLS][' }}"
    "{% for call in message.tool_calls %}{{ (call.function | tojson)[:-1] }}"
    "{% if not call.id is defined or call.id | length != 9 %}{{ raise_exception('ids have length 9') }}{% endif %}"
    "{{ ', \"id\": \"' + call.id + '\"}' }}{{ ', ' if not loop.last else ']' + eos_token }}{% endfor %}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
_MISTRAL_V7 = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + '[/INST]' }}"
    "{% elif message['role'] == 'system' %}{{ '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user, system and assistant') }}{% endif %}{% endfor %}"
)
_ORION = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ 'Human: ' + message['content'] + '\n\nAssistant: ' + eos_token }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
_OPENCHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ 'GPT4 Correct ' + message['role'].title() + ': ' + message['content'] + '<|end_of_turn|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %}"
)
_DEEPSEEK_CODER = """{{ bos_token }}{% if messages[0]['role'] != 'system' %}
{{ 'You are an AI programming assistant.\n' }}
{% endif %}
{% for message in messages %}
{% if message['role'] == 'system' %}
{{ message['content'] }}
{% elif message['role'] == 'user' %}
{{ '### Instruction:\n' + message['content'] + '\n' }}
{% else %}
{{ '### Response:\n' + message['content'] + '\n<|EOT|>\n' }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '### Response:' }}
{% endif %}"""
_DEEPSEEK_V31 = (
    "{% set ns = namespace(system='', last_user=false) %}"
    "{% for m in messages %}{% if m['role'] == 'system' %}{% set ns.system = ns.system + m['content'] %}{% endif %}"
    "{% endfor %}{{ bos_token }}{{ ns.system }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{% set ns.last_user = true %}{{ '<｜User｜>' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{% if ns.last_user %}{{ '<｜Assistant｜></think>' }}{% endif %}"
    "{% set ns.last_user = false %}{% set content = m['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>', 1)[1] %}{% endif %}"
    "{{ content + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and ns.last_user %}{{ '<｜Assistant｜>' }}"
    "{{ '<think>' if thinking else '</think>' }}{% endif %}"
)
_COMMAND_R7B = (
    "{{ bos_token }}" + _APART + "{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' }}{{ system }}"
    "{{ '<|END_OF_TURN_TOKEN|>' }}{% for message in turns %}" + _ALTERNATE + "{% if message['role'] == 'user' %}"
    "{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + message['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>'"
    "+ message['content'].strip() + '<|END_RESPONSE|><|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>' }}{% endif %}"
)
_APRIEL = (
    "{{ bos_token }}{% set preamble = 'You are a thoughtful and systematic AI assistant.' %}"
    "{% if messages[0]['role'] != 'system' %}{{ '<|system|>\n' + preamble + '\n<|end|>\n' }}{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '\n<|end|>\n' }}"
    "{% elif m['role'] == 'system' %}{{ '<|system|>\n' + preamble + m['content'] + '\n<|end|>\n' }}"
    "{% elif m['role'] == 'assistant' %}{{ '<|assistant|>\n' + m['content'] + '\n<|end|>\n' + eos_token }}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
_SEED_OSS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ bos_token + m.role }}"
    "{% if m.reasoning_content is string and m.reasoning_content | trim | length > 0 %}"
    "{{ '\n<seed:think>' + m.reasoning_content | trim + '</seed:think>' }}{% endif %}"
    "{% if m.content is string and m.content | trim | length > 0 %}{{ '\n' + m.content | trim + eos_token }}{% endif %}"
    "{% else %}{{ bos_token + m.role + '\n' + m.content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token + 'assistant\n' }}{% endif %}"
)
_OLMO2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ '<|assistant|>\n' + m['content'] + eos_token }}{{ '' if loop.last else '\n' }}"
    "{% else %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '\n' }}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
_EXAONE35 = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}{{ '[|system|][|endofturn|]\n' }}{% endif %}"
    "{{ '[|' + message['role'] + '|]' + message['content'] }}"
    "{% if message['role'] == 'user' %}{{ '\n' }}{% else %}{{ '[|endofturn|]\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
)
_PHI4_MINI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
_MINIMAX_M2 = (
    _APART + "{% set ns = namespace(last=-1) %}"
    "{% for m in turns %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{{ ']~!b[]~b]system\n' }}{{ system or 'You are a helpful assistant.' }}{{ '[e~[\n' }}"
    "{% for m in turns %}{% if m.role == 'assistant' %}{{ ']~b]ai\n' }}"
    "{% set thought = m.reasoning_content or '' %}{% set content = m.content %}"
    "{% if not thought and '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].strip('\n').split('<think>')[-1].strip('\n') %}"
    "{% set content = content.split('</think>')[-1].strip('\n') %}{% endif %}"
    "{% if thought and loop.index0 > ns.last %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{ content + '[e~[\n' }}{% elif m.role == 'user' %}{{ ']~b]user\n' + m.content + '[e~[\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ ']~b]ai\n<think>\n' }}{% endif %}"
)
_SAIGA = (
    "{% for message in messages %}{{ bos_token + message['role'] + '\n' + message['content'].strip() + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ bos_token + 'bot\n' }}{% endif %}"
)

CORPUS: Final = (
    "the cat sat on the mat and the dog ran to the river", "naïve café déjà vu", "one two three four five six seven",
    "莱茵河流经德国。", "```python\nprint(42)\n```", "The Rhine is 1,233 km long.\n\nIt ends in the sea.",
)  # fmt: skip


class Family(NamedTuple):
    """A tokenizer and a template.

    Attributes:
        name: for tables.
        build: of the vocabulary, a key of BUILDS.
        template: its text.
        bos: token at the beginning, None for none.
        eos: the tokenizer's own end.
        special: further special tokens.
        added: tokens that are added and not special.
    """

    name: str
    build: str
    template: str
    bos: str | None
    eos: str
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    thinking: bool | None = None  # the argument enable_thinking, None to leave it out
    few: bool = False  # whether large vocabularies are cut

    def __repr__(self) -> str:  # of a failing example: the template is long
        return f"Family({self.name!r})"

    @property
    def kwargs(self) -> dict[str, bool]:
        """What the template is called with."""
        return {} if self.thinking is None else {"enable_thinking": self.thinking}

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The family's tokenizer, with its template."""
        return _tokenizer(self)

    def with_few_tokens(self) -> "Family":
        """The same with a part of its vocabulary: a large one takes a second each time that it is read."""
        return self._replace(few=True)

    def chat(self) -> ChatTokens:
        """The tokenizer as this project uses it.

        Raises:
            ModelError: it cannot be used.
        """
        return _chat(self)

    def probed(self) -> list[Probed]:
        """What became of the probes of a run's start.

        Raises:
            ModelError: tokens that are not the family's own, or it cannot be used.
        """
        return _probed(self)


@cache
def _probed(family: Family) -> list[Probed]:
    return try_all(family.chat())


@cache
def _chat(family: Family) -> ChatTokens:
    return ChatTokens(family.tokenizer(), kwargs=family.kwargs)


@cache
def _tokenizer(family: Family) -> PreTrainedTokenizerFast:
    built = BUILDS[family.build]()
    backend = _with_few_merges(built) if family.few else Tokenizer.from_str(built.to_str())
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in family.special])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.added])
    unk = "<unk>" if backend.token_to_id("<unk>") is not None else None
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=family.bos, eos_token=family.eos, unk_token=unk, pad_token=family.eos,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    made.chat_template = family.template
    made.name_or_path = family.name
    return made


def trl_families() -> list[Family]:
    """Every template that TRL ships, on a small byte-level vocabulary with the template's own marks as tokens."""
    found = []
    for path in sorted(_package("trl").glob("chat_templates/*.jinja")):
        text = path.read_text(encoding="utf-8")
        marks = dict.fromkeys(_MARK.findall(text))
        more = next((tokens for name, tokens in _MORE.items() if path.stem.startswith(name)), [])
        special = [*more, *(mark for mark in marks if mark not in _PLAIN_ADDED), "<|endoftext|>"]
        added = [mark for mark in marks if mark in _PLAIN_ADDED]
        bos = next(
            (token for token in ("<bos>", "<|begin_of_text|>", "<｜begin▁of▁sentence｜>") if token in special), None
        )
        if "bos_token" in text and bos is None:
            bos = "<|startoftext|>"
            special.append(bos)
        build = next((build for name, build in _VOCABULARIES.items() if path.stem.startswith(name)), "qwen splitting")
        found.append(Family(path.stem, build, text, bos, "<|endoftext|>", tuple(dict.fromkeys(special)), tuple(added)))
    return found


OTHERS: Final = [
    Family("zephyr", "sentencepiece", _ZEPHYR, "<s>", "</s>"),
    Family("zephyr, Metaspace", "metaspace", _ZEPHYR, "<s>", "</s>"),
    Family("tinyllama", "sentencepiece", _ZEPHYR, "<s>", "</s>"),
    Family("llama2", "sentencepiece", _LLAMA2, "<s>", "</s>"),
    Family("llama2, Metaspace", "metaspace", _LLAMA2, "<s>", "</s>"),
    Family("mistral v1, [INST] as text", "sentencepiece", _MISTRAL_V1, "<s>", "</s>"),
    Family("mistral v3, [INST] as a token", "sentencepiece v3", _MISTRAL_V3, "<s>", "</s>"),
    Family("mistral v3, Metaspace", "metaspace v3", _MISTRAL_V3, "<s>", "</s>"),
    Family("vicuna", "sentencepiece", _VICUNA, "<s>", "</s>"),
    Family("vicuna, generation prompt with a space", "sentencepiece", _SPACED, "<s>", "</s>"),
    Family("solar", "sentencepiece", _SOLAR, "<s>", "</s>"),
    Family("llama3, a header behind every conversation", "qwen splitting", _LLAMA3_FIRST, "<|begin_of_text|>",
           "<|end_of_text|>",
           ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    Family("glm edge", "qwen splitting", _GLM_EDGE, None, "<|endoftext|>", ("<|system|>", "<|user|>", "<|assistant|>")),
    Family("mistral nemo", "qwen splitting", _NEMO, "<s>", "</s>",
           ("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]")),
    Family("mistral v7, [SYSTEM_PROMPT]", "sentencepiece v3", _MISTRAL_V7, "<s>", "</s>",
           ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")),
    Family("orion", "sentencepiece", _ORION, "<s>", "</s>"),
    Family("openchat 3.5", "sentencepiece", _OPENCHAT, "<s>", "<|end_of_turn|>", ("<|end_of_turn|>",)),
    Family("deepseek coder", "bytes", _DEEPSEEK_CODER, "<｜begin▁of▁sentence｜>", "<|EOT|>",
           ("<｜begin▁of▁sentence｜>", "<|EOT|>")),
    Family("deepseek v3.1", "qwen splitting", _DEEPSEEK_V31, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
           ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
           ("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>")),
    Family("command r7b", "bytes", _COMMAND_R7B, "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>",
           ("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")),
    Family("apriel 1.5", "bytes", _APRIEL, "<s>", "</s>",
           ("<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    Family("seed oss", "qwen splitting", _SEED_OSS, "<seed:bos>", "<seed:eos>",
           ("<seed:bos>", "<seed:eos>", "<seed:think>", "</seed:think>")),
    Family("olmo 2", "bytes", _OLMO2, "<|endoftext|>", "<|endoftext|>", ("<|endoftext|>",)),
    Family("exaone 3.5", "bytes", _EXAONE35, "[BOS]", "[|endofturn|]",
           ("[BOS]", "[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]")),
    Family("phi 4 mini", "bytes", _PHI4_MINI, "<|endoftext|>", "<|endoftext|>",
           ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    Family("minimax m2", "qwen splitting", _MINIMAX_M2, "]~!b[", "[e~[", ("]~!b[", "]~b]", "[e~["),
           ("<think>", "</think>")),
    Family("saiga", "sentencepiece", _SAIGA, "<s>", "</s>"),
    Family("chatml on mistral", "sentencepiece", _CHATML, "<s>", "</s>", ("<|im_start|>", "<|im_end|>")),
    Family("chatml, no generation prompt", "smollm2", _CHATML_ENDLESS, None, "<|im_end|>"),
    Family("chatml with a date", "smollm2", _DATED, None, "<|im_end|>"),
    Family("chatml, Qwen's splitting", "qwen splitting", _CHATML, None, "<|im_end|>", ("<|im_start|>", "<|im_end|>")),
    Family("chatml, Unigram", "unigram", _CHATML, None, "<|im_end|>", ("<|im_start|>", "<|im_end|>")),
    Family("chatml, NFC", "nfc", _CHATML, None, "<|im_end|>"),
    Family("qwen3, Qwen's splitting", "qwen splitting", "qwen3", None, "<|im_end|>", ("<|im_start|>", "<|im_end|>"),
           ("<think>", "</think>", "<tool_call>", "</tool_call>")),
]  # fmt: skip


def families() -> Iterator[Family]:
    """All of them; templates that can be told not to think also with that."""
    for family in (*trl_families(), *OTHERS):
        text = family.template
        found = family._replace(template=trl_template(text)) if re.fullmatch(r"\w+", text) else family
        yield found
        if "enable_thinking" in found.template and not found.name.endswith("_training"):
            yield found._replace(name=f"{found.name}, enable_thinking: false", thinking=False)


def family(name: str) -> Family:
    """One by its name."""
    return next(one for one in families() if one.name == name)


def trl_template(name: str) -> str:
    """The text of a template that TRL ships."""
    return (_package("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, f"{name} is not installed"
    return Path(spec.origin).parent


@cache
def _smollm2() -> Tokenizer:
    return Tokenizer.from_file(str(smollm2_folder() / "tokenizer.json"))


@cache
def _bytes() -> Tokenizer:
    """A few hundred tokens, so that making a family takes no time; newlines go together, as in large vocabularies."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([*CORPUS, "\n\n", "\n\n\n"], trainer)
    return backend


def _with_few_merges(large: Tokenizer, count: int = 2_000) -> Tokenizer:
    """With the marks, bytes and letters of a BPE vocabulary and its first merges; any other model as it is."""
    content = json.loads(large.to_str())
    model = content["model"]
    if model["type"] == "BPE":
        marks = {token["content"] for token in content["added_tokens"]}
        merges = [tuple(merge) for merge in model["merges"]]
        merged = {first + second for first, second in merges}
        kept = {piece for piece in model["vocab"] if piece in marks or piece not in merged}
        kept |= {first + second for first, second in merges[:count]}
        model["merges"] = [pair for pair in merges[:count] if kept.issuperset(pair)]
        # In the order of before, so that the marks at the beginning, which post-processors name by id, keep theirs.
        model["vocab"] = {piece: at for at, piece in enumerate(sorted(kept, key=model["vocab"].__getitem__))}
        for token in content["added_tokens"]:
            token["id"] = model["vocab"][token["content"]]
    return Tokenizer.from_str(json.dumps(content))


@cache
def _nfc() -> Tokenizer:
    backend = Tokenizer.from_str(_smollm2().to_str())
    backend.normalizer = normalizers.NFC()
    return backend


@cache
def _qwen_splitting() -> Tokenizer:
    """Newlines go together, so the end of a header and of a text that begins with a newline are one token."""
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    )
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), levels])
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [*CORPUS, "\n\n\n", "\n\n", "\n\n x"],
        trainers.BpeTrainer(
            vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
            special_tokens=[AddedToken("<|endoftext|>", special=True)],
        ),
    )  # fmt: skip
    return backend


@cache
def _unigram() -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    backend.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(replacement="▁", prepend_scheme="first")]
    )
    backend.train_from_iterator(
        [*CORPUS, "\n\t", *map(chr, range(33, 127))],
        trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False),
    )
    return backend


@cache
def _sentencepiece(version: str, prefix: Literal["normalizer", "metaspace", "none"]) -> Tokenizer:
    import sentencepiece as spm

    path = next(_package("mistral_common").glob(f"data/*tokenizer*.model.{version}"))
    pieces = spm.SentencePieceProcessor(model_file=str(path))
    ids = {pieces.id_to_piece(i): i for i in range(pieces.get_piece_size())}
    score = {piece: pieces.get_score(i) for piece, i in ids.items()}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in ids
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    merges.sort(key=lambda m: (-score[m[0] + m[1]], ids[m[0]], ids[m[1]]))
    built = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if prefix == "metaspace":
        built.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    else:
        first = [normalizers.Prepend("▁")] if prefix == "normalizer" else []
        built.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    last = [decoders.Strip(" ", 1, 0)] if prefix != "none" else []
    built.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last])
    special = [piece for piece, i in ids.items() if pieces.is_control(i) or pieces.is_unknown(i)]
    built.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    built.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", ids["<s>"])])
    return built


BUILDS: Final = {
    "bytes": _bytes,
    "smollm2": _smollm2,
    "nfc": _nfc,
    "qwen splitting": _qwen_splitting,
    "unigram": _unigram,
    "sentencepiece": lambda: _sentencepiece("v1", "normalizer"),
    "metaspace": lambda: _sentencepiece("v1", "metaspace"),
    "gemma": lambda: _sentencepiece("v1", "none"),
    "sentencepiece v3": lambda: _sentencepiece("v3", "normalizer"),
    "metaspace v3": lambda: _sentencepiece("v3", "metaspace"),
}
