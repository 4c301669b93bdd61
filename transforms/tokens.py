"""Text to token ids, end-of-turn exact (methods §1), and kept ids back to text.

`prompt_ids` is the chat template of the prompt with the generation prompt; `response_ids` the tokens of the
response alone and the end-of-turn (EOT) that the template puts after a finished assistant turn. What the
template adds after the EOT (SmolLM2: a newline) is no part of a response.
"""

import hashlib
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer

from transforms.errors import ModelError

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Conversation = Sequence[dict[str, str]]

_SENTINEL = "sentinel answer"


class HubTokenizer(Protocol):
    """What is used of a transformers fast tokenizer."""

    backend_tokenizer: Any
    name_or_path: str

    @property
    def all_special_ids(self) -> list[int]: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...


class Ragged(NamedTuple):
    """Token ids of many texts: text i is values[offsets[i]:offsets[i + 1]]."""

    values: Ids
    offsets: Offsets

    @property
    def lengths(self) -> Offsets:
        return np.diff(self.offsets)

    def row(self, index: int) -> Ids:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, rows: npt.NDArray[np.int64]) -> "Ragged":
        """The given rows, in that order, repeats allowed."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        source = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(self.values[source], offsets)

    def with_end(self, token: int, where: npt.NDArray[np.bool_]) -> "Ragged":
        """`token` appended to the rows that `where` marks."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths + where)])
        values = np.empty(offsets[-1], dtype=np.int32)
        shift = np.repeat(offsets[:-1] - self.offsets[:-1], self.lengths)
        values[np.arange(len(self.values)) + shift] = self.values
        values[offsets[1:][where] - 1] = token
        return Ragged(values, offsets)

    def to_arrow(self) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values))

    @staticmethod
    def from_arrow(column: pa.ListArray | pa.ChunkedArray) -> "Ragged":
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        offsets = np.asarray(array.offsets, dtype=np.int64)
        values = np.asarray(array.values, dtype=np.int32)
        return Ragged(values[offsets[0] : offsets[-1]], offsets - offsets[0])


class ChatTokens:
    """A chat tokenizer reduced to what curation needs.

    Raises:
        ModelError: the tokenizer has no chat template, or its template ends an assistant turn with no
            special token, so that a finished response cannot be told from a cut one.
    """

    def __init__(self, tokenizer: HubTokenizer) -> None:
        self._tokenizer = tokenizer
        # A copy without the padding and truncation that a tokenizer.json may ask for.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self.name = str(tokenizer.name_or_path).rstrip("/").rsplit("/", 1)[-1]
        self.eot_id, self.eot = self._find_eot()
        self.vocabulary = 1 + max(self._backend.get_vocab(with_added_tokens=True).values())
        specials = {
            index: token.content for index, token in self._backend.get_added_tokens_decoder().items() if token.special
        }
        self._is_special = np.zeros(self.vocabulary, dtype=bool)
        self._is_special[list(specials)] = True
        longest_first = sorted(specials.values(), key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._byte_lengths = _byte_lengths(self._backend, self.vocabulary)

    @property
    def sha256(self) -> str:
        """Hash of the vocabulary, merges and chat template: equal means equal ids."""
        template = str(getattr(self._tokenizer, "chat_template", ""))
        return hashlib.sha256((self._backend.to_str() + "\0" + template).encode()).hexdigest()

    def rows_with_specials(self, ids: Ragged) -> list[int]:
        """Rows whose ids hold a special token although they come from plain text."""
        hits = np.flatnonzero(self._is_special[ids.values])
        rows: list[int] = np.unique(np.searchsorted(ids.offsets, hits, side="right") - 1).tolist()
        return rows

    def specials_in_prompts(self, conversations: Sequence[Conversation], ids: Ragged) -> list[tuple[int, str]]:
        """(row, special token) of prompts whose own text spells one out.

        The template puts special tokens into every prompt, so the number of them is compared with what the
        same roles give with harmless contents; only where it differs is the text searched.
        """
        sums = np.concatenate([[0], np.cumsum(self._is_special[ids.values])])
        counts = sums[ids.offsets[1:]] - sums[ids.offsets[:-1]]
        expected: dict[tuple[str, ...], int] = {}
        found = []
        for row, conversation in enumerate(conversations):
            roles = tuple(message["role"] for message in conversation)
            if roles not in expected:
                rendered = self._prompt([{"role": role, "content": "x"} for role in roles])
                harmless = self.encode([rendered if isinstance(rendered, str) else ""])
                expected[roles] = int(self._is_special[harmless.values].sum())
            if counts[row] != expected[roles]:
                token = next(filter(None, (self.special_in(m["content"]) for m in conversation)), None)
                if token:
                    found.append((row, token))
        return found

    def special_in(self, text: str) -> str | None:
        """The first special token that `text` spells out."""
        found = self._special_pattern.search(text)
        return found.group() if found else None

    def prompts(self, conversations: Sequence[Conversation]) -> list[str | Exception]:
        """Each prompt through the chat template with the generation prompt; the error where it refuses."""
        try:
            return list(self._render(list(conversations), generation=True))
        except Exception:  # noqa: BLE001 - templates raise what they like; found again row by row below
            return [self._prompt(conversation) for conversation in conversations]

    def _prompt(self, conversation: Conversation) -> str | Exception:
        try:
            return str(self._render(list(conversation), generation=True))
        except Exception as error:  # noqa: BLE001 - as above
            return error

    def _render(self, conversations: Any, *, generation: bool) -> Any:
        return self._tokenizer.apply_chat_template(conversations, tokenize=False, add_generation_prompt=generation)

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of texts that are already rendered; equal texts are encoded once."""
        first: dict[str, int] = {}
        rows = np.fromiter((first.setdefault(text, len(first)) for text in texts), np.int64, len(texts))
        encoded = self._backend.encode_batch_fast(list(first), add_special_tokens=False)
        ids = [encoding.ids for encoding in encoded]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = np.fromiter(chain.from_iterable(ids), np.int32, int(offsets[-1]))
        unique = Ragged(values, offsets)
        return unique if len(first) == len(texts) else unique.take(rows)

    def decode(self, ids: Ids) -> str:
        """Text of response tokens, special tokens left out; a character that the cut split is left out too."""
        text = self._backend.decode(ids.tolist(), skip_special_tokens=True)
        return text.rstrip("\ufffd") if text.endswith("\ufffd") else text

    def kept_text(self, full: str, ids: Ids, keep: int) -> str:
        """The text of ids[:keep], where `full` is the text of all of `ids`.

        In a byte-level vocabulary each token is a fixed number of bytes, so the kept text is a prefix of the
        original's bytes, found without decoding. Elsewhere (sentencepiece) the ids are decoded.
        """
        if keep >= len(ids) or (keep == len(ids) - 1 and ids[-1] == self.eot_id):
            return full
        if self._byte_lengths is not None:
            data = full.encode()
            spans = self._byte_lengths[ids[: len(ids) - int(ids[-1] == self.eot_id)]]
            if int(spans.sum()) == len(data):
                return data[: int(spans[:keep].sum())].decode(errors="ignore")
        return self.decode(ids[:keep])

    def _find_eot(self) -> tuple[int, str]:
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": _SENTINEL}]
        try:
            rendered = str(self._render(turns, generation=False))
        except ValueError as error:
            message = (
                f"tokenizer {self._tokenizer.name_or_path!r} has no usable chat template ({error}); "
                "name an instruct model's tokenizer in `tokenizer:`"
            )
            raise ModelError(message) from error
        _, _, tail = rendered.partition(_SENTINEL)
        special = set(self._tokenizer.all_special_ids) | {
            index for index, token in self._backend.get_added_tokens_decoder().items() if token.special
        }
        for token in self._backend.encode(tail, add_special_tokens=False).ids:
            if token in special:
                return token, str(self._backend.id_to_token(token))
        message = (
            f"the chat template of tokenizer {self._tokenizer.name_or_path!r} puts {tail!r} after an assistant "
            "turn: no special token, so a finished response cannot be told from a cut one. Expected an "
            "end-of-turn such as <|im_end|>; use a tokenizer whose template has one"
        )
        raise ModelError(message)


def _byte_lengths(backend: Tokenizer, vocabulary: int) -> Ids | None:
    """Bytes each token stands for, shape (vocabulary,); None where tokens are not plain bytes."""
    if type(backend.decoder).__name__ != "ByteLevel":
        return None
    # In a byte-level vocabulary every byte is spelled as one character; added tokens are plain text.
    lengths = np.zeros(vocabulary, dtype=np.int32)
    added = backend.get_added_tokens_decoder()
    for token, index in backend.get_vocab(with_added_tokens=True).items():
        lengths[index] = len(token.encode()) if index in added else len(token)
    return lengths
