"""A prompt and two responses in the tokens of PairRM.

As the published code lays them out (`tokenize_pair` of the model card of llm-blender/PairRM-hf, the same in
`rewardbench/models/pairrm.py` of RewardBench, commit 24689cf): three pieces, each `[CLS] mark text [SEP]`, one behind
the other. The source has at most 1224 tokens; each candidate half of what it leaves of 2048, so 412 behind a full
source. A piece that is longer loses the end of its text. The original (LLM-Blender,
`llm_blender/pair_ranker/collator.py`, commit 11a4650) does the same for one prompt at a time; in a batch it takes the
longest source for all.
"""

from typing import Any, Final, NamedTuple

from transforms.engines.models import ResolvedModel
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError

PAIRRM: Final = "DebertaV2PairRM"  # architectures[0] of its config.json
MARKS: Final = ("<|source|>", "<|candidate1|>", "<|candidate2|>")
MARK_IDS: Final = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id")  # in config.json
_OTHER_MARK: Final = "<|candidate|>"  # which the original writes before it knows which candidate comes first
SOURCE: Final = 1224  # tokens of the source, [CLS], mark and [SEP] included
TOTAL: Final = 2048


class PairTokens(NamedTuple):
    """A comparison as PairRM reads it."""

    token_ids: list[int]
    cut: tuple[int, int, int]  # tokens of source, first and second candidate that are left out, at their ends


class PairTokenizer:
    """Lays comparisons out in one model's tokens."""

    def __init__(self, model: ResolvedModel) -> None:
        """Load the tokenizer only.

        Raises:
            ModelError: there is no fast one, or it has not the marks of PairRM as tokens.
        """
        self._tokenizer: Any = load_tokenizer(model.location, model.revision, needs_template=False)
        vocabulary = self._tokenizer.get_vocab()
        self._begin, self._end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        lacking = [mark for mark in MARKS if len(self._ids(mark)) != 1 or mark not in vocabulary]
        if lacking or self._begin is None or self._end is None:
            message = (
                f"the tokenizer of the pairwise model {model.identity.name} has not "
                f"{', '.join(lacking) or '[CLS], [SEP]'} as one token, expected the marks of PairRM: "
                "use the tokenizer of llm-blender/PairRM-hf"
            )
            raise ModelError(message)

    def pair_tokens(self, prompt: str, first: str, second: str) -> PairTokens | str:
        """Source and two candidates as token ids.

        A prompt of one turn is the text of that turn; a system turn has no place of its own, and LLM-Blender writes it
        before the text (its `instructions`). A conversation of several turns the published code
        (`tokenize_conv_pair`) compares as a whole: the source is `Finish the following coversation in each i-th turn by
        filling in <Response i> with your response.` and then a line `USER: …` and a line `Assistant: <Response i>` a
        turn, a candidate is a line `<Response i>: …` a turn. Whoever calls this writes those texts.

        `[SEP]` in a text becomes a space, as in LLM-Blender's collator.

        Args:
            prompt: text of the source.
            first: of the candidate at the first place.
            second: of the other.

        Returns:
            Token ids with how many were left out of each piece, or why there are none: a text spells one of the marks,
            at which the model reads.
        """
        texts = [text.replace(self._tokenizer.sep_token, " ") for text in (prompt, first, second)]
        for text in texts:
            for mark in (*MARKS, _OTHER_MARK):
                if mark in text:
                    return f"the text has {mark}, which the pairwise model cannot tell from its own mark"
        source = self._piece(MARKS[0] + texts[0], SOURCE)
        room = (TOTAL - len(source.ids)) // 2
        pieces = [source, *(self._piece(mark + text, room) for mark, text in zip(MARKS[1:], texts[1:], strict=True))]
        ids = [token for piece in pieces for token in piece.ids]
        return PairTokens(ids, (pieces[0].cut, pieces[1].cut, pieces[2].cut))

    def _piece(self, text: str, longest: int) -> "_Piece":
        ids = self._ids(text)
        kept = ids[: longest - 2]
        return _Piece([self._begin, *kept, self._end], len(ids) - len(kept))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


class _Piece(NamedTuple):
    ids: list[int]
    cut: int
