"""Ai2's preference mixtures of Tülu 3 and OLMo 2: responses of many models, rated by GPT-4o and made into pairs.

Raw rows, of the mixtures for 8B and 70B, and of those for 405B and for OLMo 2::

    {"id": "a1", "source": "ai2-adapt-dev/sft_v3.9_used_off_policy", "prompt": "Name three rivers.",
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}]}
    {"prompt": "Name three rivers.",
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}],
     "chosen_rating": 4.75, "rejected_rating": 2.5, "chosen_model": "yi-34b-chat", "rejected_model": "mpt-30b-chat",
     "source": "ai2-adapt-dev/sft_v3.9_used_on_policy_p1_olmo2_7b", "id": "b2"}
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import left_out, pair, row_id, text_id
from transforms.sources.messages import Sides, holds_messages, messages, split
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields

OTHER_PROMPT: Final = "rows whose prompt column is no user turn of their conversation: the conversation was taken"


class Tulu3Options(SourceOptions):
    """Of which parts of the mixture.

    Attributes:
        exclude: values of the raw `source` whose pairs are dropped (`excluded`).
    """

    kind: Literal["tulu3"]
    exclude: tuple[str, ...] = ()


def adapt(row: Fields, options: Tulu3Options) -> Adapted:
    """One row, one pair: the messages that both sides share are the prompt, and `source` is its subset."""
    sides = split(messages(row, "chosen"), messages(row, "rejected"))
    subset = text_id(row.get("source"))
    if not _is_asked(row, sides):
        row.note(OTHER_PROMPT)
    reason = left_out(row, [subset], options.exclude)
    return Adapted([pair(row, options, sides, source_id=row_id(row, "id"), reason=reason, subset=subset)])


def _is_asked(row: Fields, sides: Sides) -> bool:
    """Whether the text of the prompt column, if there is one, stands in the conversation."""
    if isinstance(row.peek("prompt"), list):
        return all(turn in sides.prompt for turn in messages(row, "prompt").turns)
    asked = row.get("prompt")
    if asked is None or asked == "":
        return True
    return isinstance(asked, str) and any(
        turn.role == "user" and turn.content.strip() == asked.strip() for turn in sides.prompt
    )


TULU3: Final = Paper(
    "lambert2024tulu3",
    "Lambert, Nathan and Morrison, Jacob and Pyatkin, Valentina and Huang, Shengyi and Ivison, Hamish and others",
    "Tulu 3: Pushing Frontiers in Open Language Model Post-Training",
    2024,
    "2411.15124",
)
OLMO2: Final = Paper(
    "olmo2025olmo2",
    "{Team OLMo} and Walsh, Pete and Soldaini, Luca and Groeneveld, Dirk and Lo, Kyle and others",
    "2 OLMo 2 Furious",
    2024,
    "2501.00656",
)
KIND: Final = SourceKind(
    options=Tulu3Options,
    required=frozenset({"chosen", "rejected", "source"}),
    # The columns of both; other sets of conversations have no id and source of their own, or scores by another name.
    looks_like=lambda row: (
        {"id", "source", "prompt"} <= row.keys()
        and isinstance(row["prompt"], str | None)
        and holds_messages(row.get("chosen"))
        and holds_messages(row.get("rejected"))
        and row.keys().isdisjoint(
            ("conversations", "chosen_full", "all_generated_responses", "chosen_score", "score_chosen", "prompt_id")
        )
    ),
    adapt=adapt,
    about=About(
        sets={
            "allenai/llama-3.1-tulu-3-8b-preference-mixture": "odc-by",
            "allenai/llama-3.1-tulu-3-70b-preference-mixture": "odc-by",
            "allenai/llama-3.1-tulu-3-405b-preference-mixture": "odc-by",
            "allenai/olmo-2-1124-7b-preference-mix": "odc-by",
            "allenai/olmo-2-1124-13b-preference-mix": "odc-by",
        },
        languages=("en",),
        papers=(TULU3, OLMO2),
    ),
)
