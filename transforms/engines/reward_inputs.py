"""Conversations in the reward model's own tokens: its tokenizer, its chat template."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transforms.engines.tokenizer import context_length, load_tokenizer

Conversation = Sequence[dict[str, str]]


class RewardInputs:
    """Turns a prompt and a response into the token ids that a reward model was trained to score.

    Attributes:
        context: tokens that the model can read.
    """

    def __init__(
        self, folder_or_id: str | Path, revision: str | None = None, *, trust_remote_code: bool = False
    ) -> None:
        """Load the tokenizer only.

        Raises:
            ModelError: there is no fast tokenizer, or it has no chat template.
        """
        self._name = str(folder_or_id)
        self._tokenizer: Any = load_tokenizer(folder_or_id, revision, trust_remote_code=trust_remote_code)
        self.context = context_length(folder_or_id, revision, trust_remote_code=trust_remote_code)

    def token_ids(self, prompts: Sequence[Conversation], responses: Sequence[str]) -> list[list[int] | str]:
        """The whole conversation, response as the last turn, for each prompt and its response.

        Where the chat template refuses one (some take no system turn), its message stands in place of the ids.
        """
        from jinja2 import TemplateError

        if not prompts:
            return []
        conversations = [
            [*prompt, {"role": "assistant", "content": response}]
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        try:
            return list(self._encode(conversations))
        except TemplateError:
            return [self._encode_one(conversation) for conversation in conversations]

    def _encode(self, conversations: Any) -> Any:
        return self._tokenizer.apply_chat_template(
            conversations, add_generation_prompt=False, tokenize=True, return_dict=False
        )

    def _encode_one(self, conversation: Conversation) -> list[int] | str:
        from jinja2 import TemplateError

        try:
            ids: list[int] = self._encode(conversation)
        except TemplateError as error:
            return f"the chat template of the reward model {self._name} refuses the conversation: {error}"
        return ids
