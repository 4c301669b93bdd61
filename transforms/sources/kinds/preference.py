"""TRL's preference formats: explicit or implicit prompt, plain text or messages.

Raw rows, the layouts of https://huggingface.co/docs/trl/dataset_formats#preference::

    {"prompt": "Name three rivers.", "chosen": "The Nile, the Rhine and the Po.", "rejected": "Nile."}
    {"prompt": [{"role": "user", "content": "Name three rivers."}],
     "chosen": [{"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "assistant", "content": "Nile."}]}
    {"chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "Nile, Rhine, Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}]}

Optional columns: `id`, and `subset`, with which this is RewardBench's layout. What rows say beside their texts (tools,
scores, finish reasons, token ids …) is read in `fields`. A Human/Assistant transcript may stand for messages.
Plain text without a prompt is refused unless it is a Human/Assistant transcript: where the prompt ends cannot be
told. TRL takes the common characters (`extract_prompt`, 1.16.0), which moves "Sure, here is" into the prompt when both
answers start so, and leaves the last of them in both responses when one side is the beginning of the other ("ab" and
"abc": prompt "a"). Without a common beginning, a chosen text that ends in a space becomes the prompt: of "Nile. " and
"Po." it makes the prompt "Nile.", chosen " " and rejected ".".
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import pair, row_id, text_id
from transforms.sources.messages import conversation
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields


class PreferenceOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["preference"]


def adapt(row: Fields, options: PreferenceOptions) -> Adapted:
    """One row, one pair.

    Raises:
        RowError: plain text without a prompt, or messages that do not end in one assistant turn a side.
    """
    sides = conversation(row)
    subset = text_id(row.get("subset"))
    return Adapted([pair(row, options, sides, source_id=row_id(row, "id"), subset=subset)])


KIND: Final = SourceKind(
    options=PreferenceOptions,
    required=frozenset({"chosen", "rejected"}),
    # A curated row has these columns too, but its `chosen` may be cut: read as a whole one it would get an end-of-turn.
    looks_like=lambda row: (
        isinstance(row.get("chosen"), str | list | dict)
        and isinstance(row.get("rejected"), str | list | dict)
        and "chosen_full" not in row
        and "chosen_policy" not in row  # a generation's, which knows tokens and ends
        and not ("total_completions" in row and isinstance(row.get("chosen"), list))  # rewardbench2's, of no pairs
        # One message a side beside a conversation is sharegpt's.
        and not (isinstance(row.get("chosen"), dict) and "conversations" in row)
    ),
    adapt=adapt,
    about=About(
        sets={"allenai/reward-bench": "odc-by"},
        terms="that of the set in question",
        any_set=True,
    ),
)
