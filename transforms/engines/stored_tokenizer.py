"""A tokenizer as transformers makes it, kept so that the next run loads it without transformers.

Importing transformers takes nine seconds of a core, reading a finished tokenizer with `tokenizers` a tenth of one. What
transformers makes of a folder is not always its tokenizer.json (findings/tokenizer_class_overrides_tokenizer_json.sh),
so what is kept is the backend that it ended with, and the few attributes that a chat template is rendered with.

Rendering is done here as transformers' `chat_template_utils` does it. A tokenizer is kept only if every probe
conversation comes out the same both ways, text for text, error for error and id for id, and under the versions of
all packages that have a part in it: another version of transformers is compared anew.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import TemplateError, ext, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from transforms.chat.template import HubTokenizer
from transforms.engines.kept_results import keep_result, kept_result
from transforms.engines.tokenizer import load_tokenizer
from transforms.engines.tokenizer_files import tokenizer_files

_KIND: Final = "tokenizers"


class StoredTokenizer:
    """What `transforms.chat.template.HubTokenizer` asks for, without transformers.

    Args:
        content: what `_content` found in a transformers tokenizer.
        name: folder or Hub id.
    """

    def __init__(self, content: Mapping[str, Any], name: str) -> None:
        self.backend_tokenizer = Tokenizer.from_str(content["backend"])
        self.name_or_path = name
        self.chat_template: str | None = content["chat_template"]
        self._special_ids: list[int] = content["special_ids"]
        self._special_tokens: dict[str, str] = content["special_tokens"]
        self._plain: Tokenizer | None = None

    @property
    def all_special_ids(self) -> list[int]:
        return self._special_ids

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """One conversation, or a list of them, as text.

        Raises:
            Exception: what transformers raises, and what the template does.
        """
        own = options.pop("chat_template", None)
        tools, generation = options.pop("tools", None), options.pop("add_generation_prompt", False)
        options.pop("tokenize", None)
        if not conversation:
            message = "Cannot apply chat template to an empty conversation. Provide at least one message."
            raise ValueError(message)
        if tools is not None and not all(isinstance(tool, dict) for tool in tools):
            message = (
                "Tools should either be a JSON schema, or a callable function with type hints and a docstring suitable "
                "for auto-conversion to a schema."
            )
            raise ValueError(message)
        template = _compiled(self.chat_template if own is None else own)
        several = isinstance(conversation[0], list | tuple)
        rendered = [
            template.render(
                messages=turns,
                tools=tools,
                documents=None,
                add_generation_prompt=generation,
                **{**self._special_tokens, **options},
            )
            for turns in (conversation if several else [conversation])
        ]
        return rendered if several else rendered[0]

    def __call__(self, text: Any, **options: Any) -> Any:
        """`input_ids` of a text or of several, neither padded nor truncated."""
        if self._plain is None:
            self._plain = Tokenizer.from_str(self.backend_tokenizer.to_str())
            self._plain.no_padding()
            self._plain.no_truncation()
        special = options.get("add_special_tokens", True)
        if isinstance(text, str):
            return {"input_ids": self._plain.encode(text, add_special_tokens=special).ids}
        return {"input_ids": [one.ids for one in self._plain.encode_batch(text, add_special_tokens=special)]}


class _Generation(ext.Extension):
    """`{% generation %}`, which marks an assistant's tokens for training and writes nothing itself.

    A call block as in transformers: what a template sets inside stays inside.
    """

    tags = {"generation"}  # noqa: RUF012 - jinja's own way

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


@lru_cache
def _compiled(template: str) -> Any:
    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    compiled = environment.from_string(template)
    # A chain of two mappings otherwise, which every rendering reads name by name: 0.4 of its time.
    compiled.globals = dict(compiled.globals)
    return compiled


def chat_tokenizer(
    folder_or_id: str | Path,
    revision: str | None = None,
    *,
    trust_remote_code: bool = False,
    template: str | None = None,
) -> HubTokenizer:
    """A tokenizer to render and encode conversations with, by transformers the first time only.

    Args:
        folder_or_id: as `load_tokenizer`.
        revision: of a Hub id.
        trust_remote_code: run Python code that comes with it; such a tokenizer is never kept.
        template: the text of a chat template to be used in place of its own.

    Raises:
        ModelError: as `load_tokenizer`.
    """
    files = None if trust_remote_code else tokenizer_files(folder_or_id, revision)
    load = partial(load_tokenizer, folder_or_id, trust_remote_code=trust_remote_code, needs_template=template is None)
    if files is None:
        found: HubTokenizer = load(revision)
        return found
    # This file's own text is in the key: a tokenizer that an earlier release kept was compared by that one.
    key = [files.sha256, json.dumps(template), sha256(Path(__file__).read_bytes()).hexdigest()]
    content = kept_result(_KIND, *key)
    if content is not None:
        with suppress(Exception):  # tokenizers raises nothing narrower for what it cannot read
            return StoredTokenizer(content, files.location)
    loaded: HubTokenizer = load(files.revision)
    content = _content(loaded)
    if (
        content is not None
        and _same(loaded, StoredTokenizer(content, files.location), template)
        # Importing transformers takes long enough to save a file meanwhile: it is not known which was read.
        and tokenizer_files(folder_or_id, revision) == files
    ):
        keep_result(_KIND, *key, content=content)
    return loaded


def _content(tokenizer: Any) -> dict[str, Any] | None:
    """What is kept of a transformers tokenizer; None where it does more than is done here."""
    from transformers import PreTrainedTokenizerFast

    own = type(tokenizer)
    plain = all(
        getattr(own, name) is getattr(PreTrainedTokenizerFast, name)
        for name in ("__call__", "_encode_plus", "apply_chat_template", "get_chat_template", "special_tokens_map")
    )
    template = tokenizer.chat_template
    try:
        backend = tokenizer.backend_tokenizer.to_str()
    except Exception:  # noqa: BLE001 - a part written in Python (RoFormer's, BertJapanese's) cannot be written down
        return None
    if not plain or tokenizer.split_special_tokens or not isinstance(template, str | None):
        return None
    content = {
        "backend": backend,
        "chat_template": template,
        "special_ids": list(tokenizer.all_special_ids),
        "special_tokens": dict(tokenizer.special_tokens_map),
    }
    kept = json.loads(json.dumps(content))
    return content if kept == content else None


def _same(loaded: Any, stored: StoredTokenizer, template: str | None) -> bool:
    """Whether all probe conversations are the same text and ids both ways, or the same error."""
    options: dict[str, Any] = {"strftime_now": lambda form: f"today as {form}"}
    if template is not None:
        options["chat_template"] = template
    return all(
        _outcome(loaded, one, options | more) == _outcome(stored, one, options | more) for one, more in _conversations()
    )


def _conversations() -> Iterator[tuple[Any, dict[str, Any]]]:
    from transforms.chat.probes import PROBES

    for probe in PROBES.values():
        asked = list(probe.asked.turns)
        more: dict[str, Any] = {"tools": list(probe.asked.tools)} if probe.asked.tools else {}
        for turns, generation in ((asked, True), ([*asked, probe.answer], False)):
            parts = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
            for form in (turns, parts, [turns, parts]):
                yield form, more | {"add_generation_prompt": generation}
    yield [], {}


def _outcome(tokenizer: Any, conversation: Any, options: dict[str, Any]) -> Any:
    try:
        text = tokenizer.apply_chat_template(conversation, tokenize=False, **options)
    except Exception as error:  # noqa: BLE001 - templates raise what they like
        return type(error).__name__, str(error)
    texts = [text] if isinstance(text, str) else text
    return text, [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
