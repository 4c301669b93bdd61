"""A chat tokenizer reduced to what curation needs.

What a prompt and a response are in token ids is in transforms/chat/encoding.py (methods §1).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from transforms.chat import turn as turns
from transforms.chat.conversation import Asked, Turn, is_plain
from transforms.chat.template import DEFAULT_DATE, ChatTemplate, HubTokenizer
from transforms.chat.turn import ASKED, SAID, THOUGHT, Said, TurnMarks
from transforms.errors import ModelError
from transforms.tables.ragged import Ids, Offsets, Ragged

Bools = npt.NDArray[np.bool_]
Reasoning = Literal["template", "inline"]


class TurnTokens(NamedTuple):
    """Tokens that a template writes around the text of a response.

    Attributes:
        leads: what can stand before it, one for plain responses and one for those with reasoning; empty for nothing.
        tail: what stands behind it, the end-of-turn last.
    """

    leads: tuple[tuple[int, ...], ...] = ()
    tail: tuple[int, ...] = ()

    def lead(self, ids: Ragged) -> Offsets:
        """How many tokens of each response stand before its text. One that text and template share is the text's."""
        best = np.zeros(len(ids.lengths), np.int64)
        for lead in self.leads:
            running = np.ones(len(best), bool)
            count = np.zeros(len(best), np.int64)
            for place, token in enumerate(lead):
                running &= ids.lengths > place
                rows = np.flatnonzero(running)
                running[rows] = ids.values[ids.offsets[rows] + place] == token
                count += running
            best = np.maximum(best, count)
        return best

    def end(self, ids: Ragged, finished: Bools) -> Offsets:
        """How many tokens of each response stand behind its text: 0 for unfinished ones."""
        ends = np.asarray(finished, np.int64).copy()
        if len(self.tail) > 1:
            for row in np.flatnonzero(finished).tolist():
                if tuple(ids.row(row)[-len(self.tail) :].tolist()) == self.tail:
                    ends[row] = len(self.tail)
        return ends

    def missing(self, ids: Ragged, keep: Offsets, finished: Bools) -> list[tuple[int, ...]]:
        """What the first tokens of each response lack of the end of its turn, (responses,).

        Args:
            ids: whole responses.
            keep: how many tokens of each are kept.
            finished: whether each ended by itself.

        Returns:
            Of a whole response that finished nothing; of one that was cut within its end the rest of it; else all of
            it.
        """
        end = self.end(ids, finished)
        there = np.where(end > 0, np.maximum(keep - (ids.lengths - end), 0), 0)
        whole = (end > 0) & (keep == ids.lengths)
        rows = zip(whole.tolist(), there.tolist(), strict=True)
        return [() if is_whole else self.tail[begun:] for is_whole, begun in rows]


NOTHING_AROUND: Final = TurnTokens()
# Texts that are encoded at once: of a token the tokenizer holds some 90 bytes until its id is read.
_AT_ONCE: Final = 512
_CALL: Final = {
    "id": "c00000001", "type": "function", "function": {"name": "sentinel", "arguments": {"sentinel": "call"}}
}  # fmt: skip
_TOOLS: Final = [{"type": "function", "function": {"name": "sentinel", "description": "Sentinel", "parameters": {}}}]


class ChatTokens:
    """A chat tokenizer reduced to what curation needs.

    Args:
        tokenizer: of the policy or reward model.
        template: the text of a chat template to use in place of its own.
        kwargs: arguments of the template, such as `enable_thinking`.
        today: the date that templates are told.
        reasoning: `template` hands reasoning over in the field that the template reads; `inline` puts it into the text
            between <think> and </think>.

    Attributes:
        eot_id: the end-of-turn that the template puts after a finished assistant turn; `eot` is its text.
        stop_ids: what can end a response: the end-of-turn, and what the template puts after a tool call where that is
            another (gpt-oss); `stops` are their texts.
        trail: what the template writes behind the end-of-turn of a conversation, if a further end is in it; else empty.
        marks: what the template writes around a response.
        lead_ids: tokens between the prompt and the text of a plain response.
        opens_ids: tokens between the prompt and the reasoning of a response with reasoning.
        tail_ids: tokens after the text, the end-of-turn last.
        anchor: an added token of the generation prompt, behind which text is encoded apart; empty for none.
        plain_specials: special tokens in the ids of a plain response, unfinished and finished.

    Raises:
        ModelError: the tokenizer has no chat template, or its template ends an assistant turn with no
            special token, so that a finished response cannot be told from a cut one.
    """

    def __init__(
        self,
        tokenizer: HubTokenizer,
        *,
        template: str | None = None,
        kwargs: Mapping[str, Any] | None = None,
        today: date = DEFAULT_DATE,
        reasoning: Reasoning = "template",
    ) -> None:
        # A copy without the padding and truncation that a tokenizer.json may ask for.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self.name = str(tokenizer.name_or_path).rstrip("/").rsplit("/", 1)[-1]
        self.reasoning = reasoning
        self.template = ChatTemplate(tokenizer, text=template, kwargs=kwargs, today=today)
        self._called_with = dict(kwargs or {})
        self._today = today
        self.vocabulary = 1 + max(self._backend.get_vocab(with_added_tokens=True).values())
        added = self._backend.get_added_tokens_decoder()
        specials = {index: token.content for index, token in added.items() if token.special}
        self._is_special = np.zeros(self.vocabulary, dtype=bool)
        self._is_special[list(specials)] = True
        longest_first = sorted(specials.values(), key=len, reverse=True)
        self._unknown = _unknown_id(self._backend)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._byte_lengths = _byte_lengths(self._backend, self.vocabulary)
        self._before, self._before_text = self._context_for_decoding()
        ends = set(specials) | set(tokenizer.all_special_ids)
        prompt = self.template.find_form()
        whole = self.template.one([*ASKED.turns, {"role": "assistant", "content": SAID}], generation=False)
        self.stop_ids = self._find_stops(ends, prompt, whole)
        self.eot_id = self.stop_ids[0]
        self.stops = tuple(str(self._backend.id_to_token(token)) for token in self.stop_ids)
        self.eot = self.stops[0]
        self.marks: TurnMarks = turns.learn(self.template, self.eot)
        self.trail = self._find_trail(whole)
        self.anchor = self._find_anchor(prompt)
        self._decoded = self._decode_marks(prompt, tokenizer)
        self._marks_hold_specials = turns.marks_in(self.marks, specials.values()) or any(
            text in self.marks.tail for text in specials.values()
        )
        self.lead_ids = self._ids_before_text(prompt, self.marks.lead or "")
        self.opens_ids = self._ids_before_text(prompt, self.marks.opens)
        self.tail_ids = self._find_tail(prompt)
        unfinished = int(self._is_special[list(self.lead_ids)].sum())
        self.plain_specials = unfinished, unfinished + int(self._is_special[list(self.tail_ids)].sum())
        self._expected_in_prompts: dict[tuple[str, ...], int] = {}

    @property
    def sha256(self) -> str:
        """Hash of the vocabulary, merges, chat template and what it is called with: equal means equal ids."""
        parts = [self._backend.to_str(), self.template.text]
        if self._called_with:
            parts.append(json.dumps(self._called_with, sort_keys=True))
        if self.template.asked_for_the_date:
            parts.append(self._today.isoformat())
        if self.reasoning != "template":
            parts.append(self.reasoning)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def vocabulary_sha256(self) -> str:
        """Hash of the vocabulary and merges alone: where equal, ids of a response mean the same tokens."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of texts that are already rendered; equal texts are encoded once."""
        first: dict[str, int] = {}
        rows = np.fromiter((first.setdefault(text, len(first)) for text in texts), np.int64, len(texts))
        lengths: list[int] = []
        values = [np.zeros(0, np.int32)]
        distinct = list(first)
        for start in range(0, len(distinct), _AT_ONCE):
            encoded = self._backend.encode_batch_fast(distinct[start : start + _AT_ONCE], add_special_tokens=False)
            ids = [encoding.ids for encoding in encoded]
            lengths += map(len, ids)
            values.append(np.fromiter(chain.from_iterable(ids), np.int32))
        unique = Ragged(np.concatenate(values), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
        return unique if len(first) == len(texts) else unique.take(rows)

    @property
    def turn_tokens(self) -> TurnTokens:
        """What the template writes around a text, in tokens."""
        return TurnTokens(tuple(ids for ids in (self.lead_ids, self.opens_ids) if ids), self.tail_ids)

    def anchor_in(self, text: str) -> int:
        """Where in a rendered prompt the part begins that is encoded apart from what stands before it."""
        return max(text.rfind(self.anchor), 0) if self.anchor else 0

    def tokens(self, ids: Ids) -> list[str]:
        """Each token as the vocabulary spells it, for messages."""
        return [str(self._backend.id_to_token(token)) for token in ids.tolist()]

    def finished(self, ids: Ragged) -> Bools:
        """Whether each response ends in an end-of-turn, shape (rows,)."""
        found = ids.lengths > 0
        rows = np.flatnonzero(found)
        found[rows] = np.isin(ids.values[ids.offsets[rows + 1] - 1], self.stop_ids)
        return found

    def special_counts(self, ids: Ragged) -> Offsets:
        """Special tokens in each row."""
        sums = np.concatenate([[0], np.cumsum(self._is_special[ids.values])])
        counts: Offsets = sums[ids.offsets[1:]] - sums[ids.offsets[:-1]]
        return counts

    def specials_within(self, ids: Ids) -> list[str]:
        """The special tokens among some, but for one that ends a response."""
        within = ids[:-1] if len(ids) and int(ids[-1]) in self.stop_ids else ids
        return self.tokens(within[self._is_special[within]])

    def rows_with_unknown(self, ids: Ragged) -> list[int]:
        """Rows that hold the token for what the vocabulary has no token for: their text is lost in them."""
        if self._unknown is None:
            return []
        hits = np.flatnonzero(ids.values == self._unknown)
        rows: list[int] = np.unique(np.searchsorted(ids.offsets, hits, side="right") - 1).tolist()
        return rows

    def specials_in_prompts(self, asked: Sequence[Asked], ids: Ragged) -> list[tuple[int, str]]:
        """(row, special token) of prompts whose own text spells one out.

        The template puts special tokens into every prompt, so the number of them is compared with what the
        same roles give with harmless contents; only where it differs is the text searched.
        """
        counts = self.special_counts(ids)
        expected = self._expected_in_prompts
        found = []
        for row, one in enumerate(asked):
            if one.plain:
                roles = tuple(turn["role"] for turn in one.turns)
                if roles not in expected:
                    [rendered] = self.template.prompts([Asked([{"role": role, "content": "x"} for role in roles])])
                    harmless = self.encode([rendered if isinstance(rendered, str) else ""])
                    expected[roles] = int(self.special_counts(harmless)[0])
                if counts[row] == expected[roles]:
                    continue
            token = next(filter(None, map(self.special_in_turn, one.turns)), None)
            for more in filter(None, (one.tools, one.kwargs)):
                token = token or self.special_in(json.dumps(more, ensure_ascii=False))
            if token:
                found.append((row, token))
        return found

    def special_in(self, text: str) -> str | None:
        """The first special token that `text` spells out."""
        found = self._special_pattern.search(text)
        return found.group() if found else None

    def special_in_turn(self, turn: Turn) -> str | None:
        """The first special token that a turn's text, reasoning or calls spell out."""
        found = self.special_in(turn["content"] or "")
        if found or is_plain(turn):
            return found
        return self.special_in(json.dumps(turns.fields_of(turn), ensure_ascii=False))

    def decode(self, ids: Ids) -> str:
        """Text of tokens, special tokens left out; a character that a cut split is left out too."""
        return self._text(ids, keep_specials=False)

    def said(self, ids: Ids) -> Said:
        """Text and reasoning of a response, without what the template writes around them."""
        found = self._decoded.said(self.without_end(ids))
        if not self._marks_hold_specials:
            return found
        strip = self._special_pattern.sub
        return Said(strip("", found.text), found.reasoning and strip("", found.reasoning), found.closed)

    def response_text(self, ids: Ids) -> str:
        """A response as the template writes it, for people: without what stands before its text and its end-of-turn."""
        text, lead = self.without_end(ids), self._decoded.lead
        if not lead:
            return text
        return text.removeprefix(lead) if text.startswith(lead) else "" if lead.startswith(text) else text

    def kept_texts(self, full: Sequence[str], ids: Ragged, keeps: Sequence[int]) -> list[str]:
        """The text of the first tokens of each response.

        In a byte-level vocabulary each token is a fixed number of bytes, so the kept text is a prefix of the
        original's bytes, found without decoding. Elsewhere (sentencepiece), and where the template changed the text
        or wrote more than it, the ids are decoded.

        Args:
            full: text of each whole response, as its source has it.
            ids: of each whole response.
            keeps: how many of them are kept.
        """
        finished = self.finished(ids)
        if self._byte_lengths is None or self.marks.tail:
            # What the template writes behind a text is none of it, also where a cut parts it from the end-of-turn.
            texts_end = ids.lengths - np.where(finished, len(self.tail_ids), 0)
            return [
                self.response_text(ids.row(row) if keep >= texts_end[row] else ids.row(row)[:keep])
                for row, keep in enumerate(keeps)
            ]
        sums = np.concatenate([[0], np.cumsum(self._byte_lengths[ids.values])])
        ends = ids.offsets[1:] - finished
        cuts = np.minimum(ids.offsets[:-1] + np.asarray(keeps, np.int64), ends)
        whole, kept = ((sums[at] - sums[ids.offsets[:-1]]).tolist() for at in (ends, cuts))
        lead = len((self.marks.lead or "").encode())
        texts = []
        for row, text in enumerate(full):
            size = len(text) if text.isascii() else len(text.encode())
            # The tokens are the template's own and the text; else the template changed it. Where it writes something
            # before the text, tokens of the text's size may be of a text that was trimmed by as much.
            before = lead if whole[row] == size + lead else None
            if before is None:
                texts.append(self.response_text(ids.row(row)[: keeps[row]]))
            elif kept[row] == whole[row]:
                texts.append(text)
            else:
                texts.append(text.encode()[: max(0, kept[row] - before)].decode(errors="ignore"))
        return texts

    def without_end(self, ids: Ids) -> str:
        """A response as the template writes it, without its end-of-turn and what stands before that."""
        finished = len(ids) > 0 and int(ids[-1]) in self.stop_ids
        text = self._text(ids[:-1] if finished else ids, keep_specials=self._marks_hold_specials)
        return text.removesuffix(self._decoded.tail) if finished and self._decoded.tail else text

    def written(self, ids: Ids) -> str:
        """Text of tokens with the special ones among them."""
        return self._text(ids, keep_specials=True)

    def _text(self, ids: Ids, *, keep_specials: bool) -> str:
        text = self._backend.decode([*self._before, *ids.tolist()], skip_special_tokens=not keep_specials)
        text = text[len(self._before_text) :]
        return text.rstrip("\ufffd") if text.endswith("\ufffd") else text

    def _context_for_decoding(self) -> tuple[tuple[int, ...], str]:
        """A token to decode others after: SentencePiece decoders take a space from the beginning of a text."""
        if self._byte_lengths is not None:
            return (), ""
        ids = self._backend.encode("x", add_special_tokens=False).ids[-1:]
        return tuple(ids), str(self._backend.decode(ids))

    def _find_stops(self, special: set[int], prompt: str, whole: str) -> tuple[int, ...]:
        said = {"role": "assistant", "content": SAID}
        after = whole[whole.rindex(SAID) + len(SAID) :]
        last = self._first_run(after, special)
        # What stands after every assistant turn ends a turn; what stands after the last alone ends a conversation.
        shared = []
        opened = False
        try:
            longer = self.template.one([*ASKED.turns, said, *ASKED.turns, said], generation=False)
            before, between = longer.partition(SAID)[::2]
            middle = self._first_run(between, special)
            shared = [
                a for at, (a, b) in enumerate(zip(last, middle, strict=False)) if last[: at + 1] == middle[: at + 1]
            ]
            opened = not longer.startswith(whole) and self.template.one(ASKED.turns, generation=False) == prompt
        except Exception:  # noqa: BLE001 - a template for one turn only
            pass
        if opened:
            # It writes the generation prompt behind every conversation, asked or not (Llama 3's first one). So what
            # opens a turn stands behind the end-of-turn, or where none is (GLM Edge's) behind the text.
            question = ASKED.turns[0]["content"]
            endless = before.partition(question)[0].endswith(between.partition(question)[0])
            shared, last = shared[:1], [] if endless else last
        if not last:
            found = "the beginning of another turn" if opened else "no special token"
            message = (
                f"the chat template of tokenizer {self.template.name!r} puts {after!r} after an assistant turn: "
                f"{found}, so a finished response cannot be told from a cut one. Expected an end-of-turn such as "
                "<|im_end|>; use a tokenizer whose template has one, or one of your own in `policy.chat_template`"
            )
            raise ModelError(message)
        eot = shared[-1] if shared else last[0]
        return (eot, *self._end_of_calls(eot, special, prompt))

    def _find_trail(self, whole: str) -> str:
        trail = whole[whole.rindex(SAID) + len(SAID) :].partition(self.eot)[2]
        return trail if any(stop in trail for stop in self.stops) else ""

    def _first_run(self, text: str, special: set[int]) -> list[int]:
        """The first special token in a text and those that stand right behind it."""
        found: list[int] = []
        for token in self._backend.encode(text, add_special_tokens=False).ids:
            if token in special:
                found.append(token)
            elif found:
                break
        return found

    def _end_of_calls(self, eot: int, special: set[int], prompt: str) -> tuple[int, ...]:
        """What the template puts after a turn that ends in a tool call, where it is not the end-of-turn."""
        asked = ASKED._replace(tools=_TOOLS)
        turn = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
        try:
            whole = self.template.one([*ASKED.turns, turn], generation=False, asked=asked)
            start = self.template.one(ASKED.turns, generation=True, asked=asked)
        except Exception:  # noqa: BLE001 - many templates know no calls
            return ()
        if not whole.startswith(start) or "sentinel" not in whole[len(start) :]:
            return ()
        ids = self._backend.encode(whole[len(start) :], add_special_tokens=False).ids
        ends = [token for token in ids if token in special]
        return (ends[-1],) if ends and eot not in ends else ()

    def _find_anchor(self, prompt: str) -> str:
        added = {token.content: token for token in self._backend.get_added_tokens_decoder().values()}
        found = ""
        at = -1
        for content, token in added.items():
            place = prompt.rfind(content)
            apart = not token.single_word and (not token.normalized or self._backend.normalizer is None)
            inside = any(content in other and not other.startswith(content) for other in added)
            if place > at and apart and not inside:
                found, at = content, place
        return found

    def _ids_between(self, prompt: str, text: str) -> tuple[int, ...]:
        """Tokens that `text` adds after the prompt."""
        if not text:
            return ()
        end = prompt[self.anchor_in(prompt) :]
        head, both = (self._backend.encode(part, add_special_tokens=False).ids for part in (end, end + text))
        return tuple(both[len(head) :]) if both[: len(head)] == head else ()

    def _ids_before_text(self, prompt: str, lead: str) -> tuple[int, ...]:
        """Tokens of `lead` between the prompt and a text; one that the text shares is left out.

        They are not those of `lead` alone: GPT-2's splitting makes two tokens of a blank line before a letter, and one
        of a blank line at the end.
        """
        if not lead or not self._ids_between(prompt, lead):
            return ()
        before = prompt[self.anchor_in(prompt) :] + lead
        ends = [end for _, end in self._backend.encode(before + SAID, add_special_tokens=False).offsets]
        shared = sum(end > len(before) for end in ends)
        return self._ids_between(prompt, lead + SAID)[:-shared]

    def _decode_marks(self, prompt: str, tokenizer: HubTokenizer) -> TurnMarks:
        marks = self.marks
        self._decoded, self._marks_hold_specials = marks, True

        def decoded(text: str) -> str | None:
            ids = self._ids_between(prompt, text)
            return self._text(np.array(ids, np.int32), keep_specials=True) if ids else None

        try:
            return turns.as_decoded(
                marks,
                None if marks.lead is None else decoded(f"{marks.lead}{SAID}{marks.tail}"),
                decoded(f"{marks.opens}{THOUGHT}{marks.closes}{SAID}{marks.tail}") if marks.closes else None,
            )
        except ValueError as error:
            message = (
                f"the tokenizer {tokenizer.name_or_path!r} does not give back what it was given: {error}. Expected one "
                "whose tokens are the text (byte-level BPE or SentencePiece). If tokenizer_config.json names a class "
                "that tokenizer.json is not of (LlamaTokenizerFast beside a byte-level one: transformers then replaces "
                'what splits the text), set "tokenizer_class": "PreTrainedTokenizerFast" there'
            )
            raise ModelError(message) from error

    def _find_tail(self, prompt: str) -> tuple[int, ...]:
        said = f"{SAID}{self.marks.tail}"
        alone = self._backend.encode(prompt + SAID, add_special_tokens=False).ids
        ended = self._backend.encode(prompt + said + self.eot, add_special_tokens=False).ids
        return tuple(ended[len(alone) :]) if ended[: len(alone)] == alone else (self.eot_id,)


def _unknown_id(backend: Tokenizer) -> int | None:
    """The token for what the vocabulary has none for; None where it has one for everything."""
    if type(backend.model).__name__ == "Unigram":  # shows it nowhere else
        found: int | None = json.loads(backend.to_str())["model"].get("unk_id")
        return found
    unknown = getattr(backend.model, "unk_token", None)
    return backend.token_to_id(unknown) if isinstance(unknown, str) else None


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
