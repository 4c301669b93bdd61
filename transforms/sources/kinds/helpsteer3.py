"""nvidia/HelpSteer3, configuration `preference`: two responses to a conversation, ordered by people, in four domains.

A raw row::

    {"domain": "general", "language": "english", "context": [{"role": "user", "content": "Name three rivers."}],
     "response1": "The Nile, the Rhine and the Po.", "response2": "Nile.", "overall_preference": -2,
     "individual_preference": [
       {"score": -2, "reasoning": "@Response 1 names three.", "feedback1": "…", "feedback2": "…"},
       {"score": -3, "reasoning": "@Response 2 names one.", "feedback1": "…", "feedback2": "…"}]}
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import left_out, pair, text_id
from transforms.sources.messages import answers, messages
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields
from transforms.sources.votes import VoteOptions, judged


class HelpSteer3Options(VoteOptions):
    """How strong and how agreed a preference must be, and of which domains and languages.

    Attributes:
        exclude: values of the raw `domain` or `language` whose pairs are dropped (`excluded`), such as `code` or
            `chinese`.
    """

    kind: Literal["helpsteer3"]
    exclude: tuple[str, ...] = ()


def adapt(row: Fields, options: HelpSteer3Options) -> Adapted:
    """One row, one pair; `domain` is its subset.

    Raises:
        RowError: a preference that is no strength, or no votes where they are asked for.
    """
    name = "individual_preference"
    votes = []
    if options.min_agreement:
        votes = [(vote.get("score"), f"{name}[{at}].score") for at, vote in enumerate(row.objects(name))]
    found = judged(row, "overall_preference", votes, options)
    domain = text_id(row.get("domain"))
    named = [domain, text_id(row.get("language"))] if options.exclude else []  # else nobody reads the language
    reason = left_out(row, named, options.exclude) or found.reason
    context = messages(row, "context")
    sides = answers(context.turns, *found.sides(row.get("response1"), row.get("response2")))
    return Adapted([pair(row, options, sides, scores=found.scores, reason=reason, subset=domain)])


HELPSTEER3: Final = Paper(
    "wang2025helpsteer3",
    "Wang, Zhilin and Zeng, Jiaqi and Delalleau, Olivier and Shin, Hoo-Chang and Soares, Felipe and others",
    "HelpSteer3-Preference: Open Human-Annotated Preference Data across Diverse Tasks and Languages",
    2025,
    "2505.11475",
)
KIND: Final = SourceKind(
    options=HelpSteer3Options,
    required=frozenset({"context", "response1", "response2", "overall_preference"}),
    looks_like=lambda row: {"context", "response1", "response2", "overall_preference"} <= row.keys(),
    adapt=adapt,
    about=About(
        sets={"nvidia/HelpSteer3": "cc-by-4.0"},
        languages=("en", "zh", "ko", "fr", "es", "ru", "ja", "de", "it", "pt", "pl", "id", "nl", "vi"),
        papers=(HELPSTEER3,),
    ),
)
