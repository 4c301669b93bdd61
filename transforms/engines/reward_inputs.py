"""Conversations in the reward model's own tokens: its tokenizer, its chat template."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

from transforms.chat.conversation import Asked, Turn, is_plain
from transforms.chat.encoding import lost_of_answer, lost_of_prompt, lost_of_text
from transforms.chat.template import DEFAULT_DATE, ChatTemplate, Rendered
from transforms.chat.turn import REASONING_FIELDS, as_text, reasoning_field, without_thought
from transforms.engines.objectives import GATING_TEXT, config_json, gating_position, gating_tokens, is_armorm
from transforms.engines.stored_tokenizer import chat_tokenizer
from transforms.engines.tokenizer import context_length
from transforms.errors import ModelError, first_line

_GOES_ON: Final = "\ue000…\ue001"  # private characters: in no answer but one that wants to be cut there


class RewardInputs:
    """Turns a prompt and a response into the token ids that a reward model was trained to score.

    Attributes:
        context: tokens that the model can read.
    """

    def __init__(
        self,
        folder_or_id: str | Path,
        revision: str | None = None,
        *,
        trust_remote_code: bool = False,
        template: str | None = None,
        kwargs: Mapping[str, Any] | None = None,
        today: date = DEFAULT_DATE,
        leaves_out: Collection[str] = (),
    ) -> None:
        """Load the tokenizer only.

        Args:
            folder_or_id: of the reward model.
            revision: of a hub id.
            trust_remote_code: run Python code that comes with the model.
            template: the text of a chat template to use in place of its own.
            kwargs: what its chat template is called with.
            today: the day that the template is told.
            leaves_out: what the model is not shown: `reasoning`, `tools`, `system`.

        Raises:
            ModelError: there is no fast tokenizer, or it has no usable chat template.
        """
        self._name = str(folder_or_id)
        self._tokenizer = chat_tokenizer(folder_or_id, revision, trust_remote_code=trust_remote_code, template=template)
        self.context = context_length(folder_or_id, revision, trust_remote_code=trust_remote_code)
        self._leaves_out = frozenset(leaves_out)
        self._template = ChatTemplate(self._tokenizer, text=template, kwargs=kwargs, today=today)
        self._template.find_form()
        self._field = reasoning_field(self._template)
        gated = is_armorm(config_json(folder_or_id, revision))
        self._gating = gating_tokens(self._encode, self._name) if gated else None

    def token_ids(self, asked: Sequence[Asked], answers: Sequence[Turn]) -> list[list[int] | str]:
        """The whole conversation, the answer as its last turn, for each prompt and its answer.

        Args:
            asked: the prompts.
            answers: one a prompt; reasoning under `reasoning_content`.

        Returns:
            Token ids, or why there are none: the chat template refuses the conversation (some take no system turn),
            leaves out something of it, or writes no header of an answer where the model looks for one.
        """
        return self._ids(self._rendered(asked, answers))

    def open_token_ids(self, asked: Sequence[Asked], answers: Sequence[Turn]) -> list[list[int] | str]:
        """The conversation up to the last character of an answer that goes on, for each prompt and its answer.

        What the template writes behind an answer, an end-of-turn first of all, is left out: where it would stand is
        seen from a mark behind the answer's text, or behind its reasoning where the content is None. Other arguments
        and errors as in `token_ids`.
        """
        found = []
        for one in self._rendered(asked, [_marked(turn) for turn in answers]):
            before, mark, _ = one.text.rpartition(_GOES_ON)
            lost = f"the chat template of the reward model {self._name} leaves out where the answer is cut"
            found.append(_Shown(before, one.problem or (None if mark else lost)))
        return self._ids(found)

    def _rendered(self, asked: Sequence[Asked], answers: Sequence[Turn]) -> "list[_Shown]":
        if not asked:
            return []
        shown = [self._shown(one) for one in asked]
        turns = [self._answer(turn) for turn in answers]
        rendered = self._template.wholes(shown, turns)
        return [
            _Shown(each[-1] if isinstance(each[-1], str) else "", self._problem(*each))
            for each in zip(shown, turns, rendered, strict=True)
        ]

    def _ids(self, shown: "Sequence[_Shown]") -> list[list[int] | str]:
        texts = [one.text for one in shown if one.problem is None]
        ids = iter(self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else ())
        return [self._headed(next(ids)) if one.problem is None else one.problem for one in shown]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _headed(self, ids: list[int]) -> list[int] | str:
        if self._gating is None or gating_position(ids, self._gating) is not None:
            return ids
        return (
            f"the reward model {self._name} weighs its objectives at {GATING_TEXT!r}, and the conversation in its "
            "tokens has none: is another chat template set than its own?"
        )

    def _shown(self, asked: Asked) -> Asked:
        if "tools" in self._leaves_out and asked.tools:
            asked = asked._replace(tools=None)
        if "system" in self._leaves_out and asked.turns[0]["role"] == "system":
            asked = asked._replace(turns=asked.turns[1:])
        return asked

    def _answer(self, turn: Turn) -> Turn:
        content = turn["content"] or ""
        if "reasoning" in self._leaves_out:
            kept = {name: value for name, value in turn.items() if name not in REASONING_FIELDS}
            return kept | {"content": without_thought(content)}
        thought = turn.get(REASONING_FIELDS[0])
        if not isinstance(thought, str) or self._field == REASONING_FIELDS[0]:
            return turn
        rest = {name: value for name, value in turn.items() if name != REASONING_FIELDS[0]}
        if self._field:
            return rest | {self._field: thought}
        return rest | {"content": as_text(thought, content, closed=bool(content))}

    def _problem(self, asked: Asked, turn: Turn, rendered: Rendered) -> str | None:
        of = f"the chat template of the reward model {self._name}"
        if isinstance(rendered, Exception):
            return f"{of} refuses the conversation: {first_line(rendered)}"

        def again(other: Asked) -> Rendered:
            return self._template.wholes([other], [turn])[0]

        lost = lost_of_prompt(asked, rendered, self._template, again) or lost_of_text(turn["content"] or "", rendered)
        if lost is None and not is_plain(turn):
            lost = lost_of_answer(self._template, asked, turn, rendered)
        advice = "; reward.leaves_out says what it need not be shown" if lost else ""
        return f"{of} {lost}{advice}" if lost else None


class _Shown(NamedTuple):
    """A conversation as the template writes it, and why the model cannot be shown it."""

    text: str
    problem: str | None


def _marked(turn: Turn) -> Turn:
    """An answer with a mark at its end, which is in its reasoning where it has no content yet."""
    thought = turn.get(REASONING_FIELDS[0])
    if isinstance(thought, str) and turn["content"] is None:
        return {**turn, "content": "", REASONING_FIELDS[0]: thought + _GOES_ON}
    return {**turn, "content": (turn["content"] or "") + _GOES_ON}


def template_file(path: str | None) -> str | None:
    """The text of a chat template that a recipe names.

    Raises:
        ModelError: there is no such file.
    """
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"the chat template {path} cannot be read: {error}. Expected a file with a Jinja template"
        raise ModelError(message) from error
