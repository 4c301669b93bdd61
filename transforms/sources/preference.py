"""TRL's preference formats: explicit or implicit prompt, plain text or messages.

Raw rows, the layouts of https://huggingface.co/docs/trl/dataset_formats#preference::

    {"prompt": "Name three rivers.", "chosen": "The Nile, the Rhine and the Po.", "rejected": "Nile."}
    {"prompt": [{"role": "user", "content": "Name three rivers."}],
     "chosen": [{"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "assistant", "content": "Nile."}]}
    {"chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "Nile, Rhine, Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}]}

Optional columns: `id`, `chosen_score`, `rejected_score`, and `subset`, with which this is RewardBench's layout.
Plain text without a prompt is refused unless it is a Human/Assistant transcript: where the prompt ends cannot be
told. TRL takes the common characters (`extract_prompt`, 1.16.0), which moves "Sure, here is" into the prompt when both
answers start so, and leaves the last of them in both responses when one side is the beginning of the other ("ab" and
"abc": prompt "a"). Without a common beginning, a chosen text that ends in a space becomes the prompt: of "Nile. " and
"Po." it makes the prompt "Nile.", chosen " " and rejected ".".
"""

from typing import Any, Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import (
    Conversation,
    Row,
    SourceKind,
    is_transcript,
    messages,
    number,
    row_hash,
    split_conversations,
    text_id,
    transcript,
)
from transforms.sources.canonical import Adapted, Message, Pair, Prompt, check_text
from transforms.sources.options import SourceOptions


class PreferenceOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["preference"]


def adapt(row: Row, options: PreferenceOptions) -> Adapted:
    """One row, one pair.

    Raises:
        RowError: plain text without a prompt, or messages that do not end in one assistant turn a side.
    """
    prompt, chosen, rejected = row.get("prompt"), row.get("chosen"), row.get("rejected")
    if prompt is None:
        found = _implicit(chosen, rejected)
    elif isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str):
        found = Conversation(_prompt_of_text(prompt), chosen, rejected)
    else:
        turns = _prompt_of_text(prompt) if isinstance(prompt, str) else messages(prompt, "prompt")
        found = split_conversations(_side(turns, chosen, "chosen"), _side(turns, rejected, "rejected"))
    scores = (
        number(row.get("chosen_score"), "chosen_score"),
        number(row.get("rejected_score"), "rejected_score"),
    )
    subset = text_id(row.get("subset"))
    return Adapted([Pair(text_id(row.get("id")) or row_hash(row), *found, *scores, subset=subset)])


def _implicit(chosen: Any, rejected: Any) -> Conversation:
    for side, what in ((chosen, "chosen"), (rejected, "rejected")):
        if not isinstance(side, list):
            check_text(side, what)
    if isinstance(chosen, list) or isinstance(rejected, list):
        return split_conversations(messages(chosen, "chosen"), messages(rejected, "rejected"))
    if is_transcript(chosen) and is_transcript(rejected):
        return split_conversations(transcript(chosen, "chosen"), transcript(rejected, "rejected"))
    message = (
        "chosen and rejected are plain text without a prompt column, so where the prompt ends cannot be told;"
        " add a prompt column, use messages, or Human/Assistant transcripts"
    )
    raise RowError(message)


def _prompt_of_text(prompt: str) -> Prompt:
    if is_transcript(prompt) and prompt.rstrip().endswith("\n\nAssistant:"):
        return transcript(prompt, "prompt")[:-1]
    return (Message("user", prompt),)


def _side(prompt: Prompt, side: Any, what: str) -> Prompt:
    if not isinstance(side, list):
        check_text(side, what)
        return (*prompt, Message("assistant", side))
    turns = messages(side, what)
    # Some sets repeat the prompt's messages on both sides.
    return turns if turns[: len(prompt)] == prompt else prompt + turns


KIND: Final = SourceKind(
    options=PreferenceOptions,
    required=frozenset({"chosen", "rejected"}),
    # A curated row has these columns too, but its `chosen` may be cut: read as a whole one it would get an end-of-turn.
    looks_like=lambda row: (
        isinstance(row.get("chosen"), str | list)
        and isinstance(row.get("rejected"), str | list)
        and "chosen_full" not in row
    ),
    adapt=adapt,
    about=About(
        sets={"allenai/reward-bench": "odc-by"},
        terms="that of the set in question",
        any_set=True,
    ),
)
