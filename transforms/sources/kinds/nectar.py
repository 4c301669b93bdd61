r"""berkeley-nest/Nectar: seven responses to a prompt, ranked by GPT-4; 1 is the best rank.

A raw row::

    {"prompt": "\n\nHuman: Name three rivers.\n\nAssistant: ",
     "answers": [{"answer": "The Nile, the Rhine and the Po.", "model": "gpt-4", "rank": 1.0},
                 {"answer": "Nile, Rhine, Po.", "model": "gpt-3.5-turbo", "rank": 2.0},
                 {"answer": "Nile.", "model": "llama-2-7b-chat", "rank": 3.0}],
     "turns": 1, "num_responses": 7, "source": ["sharegpt"], "good_natured": true}
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted, Response, check_score, content_hash
from transforms.sources.endings import finished_one
from transforms.sources.fields import EXCLUDED, left_out, number
from transforms.sources.messages import asked
from transforms.sources.options import SourceOptions
from transforms.sources.pairing import Candidate, Completion, Pairing, is_usable, paired
from transforms.sources.rows import Fields, kind_of

REPEATED: Final = "answers that another answer of the same prompt repeats: paired once, at their best rank"


class NectarOptions(SourceOptions):
    """Which of the answers meet, and of which prompts.

    Attributes:
        pairing: which answers meet; random by content, so a rerun picks the same. `all_pairs` makes up to 21 of a row.
        exclude: values in the raw list `source` whose pairs are dropped (`excluded`), such as `anthropic-hh`.
        only_good_natured: pairs of prompts that GPT-4 did not call good-natured are dropped (`excluded`).
    """

    kind: Literal["nectar"]
    pairing: Pairing = "best_vs_worst"
    exclude: tuple[str, ...] = ()
    only_good_natured: bool = False


def adapt(row: Fields, options: NectarOptions) -> Adapted:
    """Pair the answers as `pairing` says and keep all of them as responses; scores are -rank.

    Raises:
        RowError: fewer than two different answers with text and a rank, or a prompt that does not end in an open turn.
    """
    prompt = asked(row, "prompt")
    given = row.objects("answers")
    candidates: dict[str, Candidate[Completion]] = {}
    responses = []
    for at, answer in enumerate(given):
        rank = number(answer.get("rank"), f"answers[{at}].rank")
        check_score(rank, f"answers[{at}].rank")
        score = None if rank is None else -rank
        text, model = answer.get("answer"), answer.get("model")
        ended = finished_one(answer, f"answers[{at}].")
        if not isinstance(text, str):
            continue
        text = text.strip()  # as around every turn of a transcript
        responses.append(
            Response(at, text, model if isinstance(model, str) else None, score, finished=ended is not False)
        )
        if score is None or not is_usable(text):
            continue
        found = Candidate(score, content_hash(text), Completion(text, ended))
        if text in candidates:
            row.note(REPEATED)
            found = max(found, candidates[text], key=lambda one: one.score)
        candidates[text] = found
    if len(candidates) < 2:
        message = f"{len(candidates)} different answers of {len(given)} have text and a rank, expected at least two"
        raise RowError(message)
    sources = _sources(row)
    reason = left_out(row, sources, options.exclude)
    if options.only_good_natured and not _is_good_natured(row):
        reason = EXCLUDED
    subset = "+".join(sorted(sources)) or None
    pairs = paired(row, options, prompt, list(candidates.values()), options.pairing, reason=reason, subset=subset)
    return Adapted(pairs, pairs[0].prompt, responses)


def _sources(row: Fields) -> set[str]:
    value = row.get("source")
    listed = value if isinstance(value, list) else [value]
    found = {one for one in listed if isinstance(one, str) and one}
    if value is not None and len(found) != len(set(map(str, listed))):
        message = f"source is {kind_of(value)}, expected a list of names"
        raise RowError(message)
    return found


def _is_good_natured(row: Fields) -> bool:
    value = row.get("good_natured")
    if not isinstance(value, bool):
        message = f"good_natured is {kind_of(value)}, expected true or false where only_good_natured is set"
        raise RowError(message)
    return value


KIND: Final = SourceKind(
    options=NectarOptions,
    required=frozenset({"prompt", "answers"}),
    looks_like=lambda row: (
        "prompt" in row
        and isinstance(row.get("answers"), list)
        and bool(row["answers"])
        and all(isinstance(one, dict) and {"answer", "rank"} <= one.keys() for one in row["answers"])
    ),
    adapt=adapt,
    about=About(sets={"berkeley-nest/Nectar": "apache-2.0"}, languages=("en",)),
)
