"""The project's own starter data: responses of one small model at several temperatures, one a row.

data_cards/starter describes it. A raw row::

    {"prompt_id": "8d0c…", "split": "test", "prompt": [{"role": "user", "content": "Name three rivers."}],
     "temperature": 0.7, "response": "The Nile, the Rhine and the Po.", "finished": true}

The true order is known by construction: the lower temperature is the better side, scores are -temperature.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, Literal, Self

from pydantic import model_validator

from transforms.errors import RowError, SourceError
from transforms.sources.about import About
from transforms.sources.adapter import BadRow, SourceKind, row_hash
from transforms.sources.canonical import Adapted, Response, check_text
from transforms.sources.fields import Given, pair, token_ids
from transforms.sources.messages import answers, messages
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields


class StarterOptions(SourceOptions):
    """Which two temperatures make the pairs, and of which prompts.

    Attributes:
        better: sampling temperature of the chosen response; one of 0.2, 0.7, 1.1 and 1.5.
        worse: of the rejected one, higher.
        prompts: the reward model is trained on `train` and so must not score them.
        token_ids: `ignore` encodes the texts anew, as all versions of the starter dataset were; `use` takes the ids
            that were sampled (`response_ids`), which differ in 436 of 1,024 responses: a policy may spell a word in
            tokens that its tokenizer would not choose.
    """

    kind: Literal["starter"]
    better: float = 0.7
    worse: float = 1.1
    prompts: Literal["train", "test"] = "test"
    token_ids: Literal["use", "ignore"] = "ignore"

    @model_validator(mode="after")
    def _better_is_colder(self) -> Self:
        if self.better >= self.worse:
            message = f"better is {self.better} and worse {self.worse}; better must be the lower temperature"
            raise ValueError(message)
        return self


def gather(rows: Iterable[Fields | BadRow], options: StarterOptions) -> Iterator[Fields | BadRow]:
    """Put the responses of each asked prompt into one row, in the order of prompt ids.

    All rows are held in memory: the file has about a thousand.

    Raises:
        SourceError: no prompt of the asked half was sampled at both temperatures.
    """
    groups: dict[str, list[Fields]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            yield row
        elif not isinstance(row.get("prompt_id"), str) or not isinstance(row.get("temperature"), float):
            error = f"prompt_id is {row.get('prompt_id')!r} and temperature {row.get('temperature')!r}"
            yield BadRow(f"{error}, expected text and a number", row.raw, row_hash(row.raw))
        elif row.get("split") == options.prompts:
            groups.setdefault(row["prompt_id"], []).append(row)
    asked = {options.better, options.worse}
    found = {row["temperature"] for group in groups.values() for row in group}
    if not asked <= found:
        message = (
            f"{options.path}: the {options.prompts} prompts have temperatures {sorted(found)},"
            f" expected {options.better} and {options.worse}"
        )
        raise SourceError(message)
    for key in sorted(groups):
        group = sorted(groups[key], key=lambda row: (row["temperature"], str(row.get("response"))))
        yield Fields.of_rows(group, prompt_id=key)


def adapt(row: Fields, options: StarterOptions) -> Adapted:
    """Pair every response at the better temperature with every one at the worse.

    Raises:
        RowError: a response is missing at one of the temperatures, or rows of one prompt differ in it.
    """
    samples = row.rows()
    prompt = messages(samples[0], "prompt").turns
    for at, sample in enumerate(samples):
        if sample.get("prompt") != samples[0].get("prompt"):
            message = f"prompt_id {row['prompt_id']} stands for two different prompts"
            raise RowError(message)
        check_text(sample.get("response"), "response {at}", at=at)
        if not isinstance(sample.get("finished"), bool):
            message = f"finished is {sample.get('finished')!r}, expected true or false"
            raise RowError(message)
    better, worse = (
        [sample for sample in samples if sample["temperature"] == asked] for asked in (options.better, options.worse)
    )
    if not better or not worse:
        message = f"prompt {row['prompt_id']} has no response at {options.worse if better else options.better}"
        raise RowError(message)
    pairs = [
        pair(
            row,
            options,
            answers(prompt, one["response"], other["response"]),
            source_id=row["prompt_id"],
            scores=(-one["temperature"], -other["temperature"]),
            finished=(one["finished"], other["finished"]),
            given=Given(None, *(_ids(side) for side in (one, other))) if options.token_ids == "use" else None,
        )
        for one, other in product(better, worse)
    ]
    responses = [
        Response(at, sample["response"], score=-sample["temperature"], finished=sample["finished"])
        for at, sample in enumerate(samples)
    ]
    return Adapted(pairs, prompt, responses)


def _ids(sample: Fields) -> tuple[int, ...] | None:
    return token_ids(sample.get("response_ids"), "response_ids")


SMOLLM2: Final = Paper(
    "allal2025smollm2",
    "Ben Allal, Loubna and Lozhkov, Anton and Bakouch, Elie and others",
    "SmolLM2: When Smol Goes Big -- Data-Centric Training of a Small Language Model",
    2025,
    "2502.02737",
)
KIND: Final = SourceKind(
    options=StarterOptions,
    required=frozenset({"prompt_id", "split", "prompt", "temperature", "response", "finished"}),
    looks_like=lambda row: "temperature" in row and "prompt_id" in row and "response" in row,
    adapt=adapt,
    gather=gather,
    about=About(
        sets={"data_cards/starter": "apache-2.0"},
        languages=("en", "ar", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "zh"),
        papers=(SMOLLM2,),
    ),
)
