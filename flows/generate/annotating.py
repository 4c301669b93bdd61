"""Scores of all responses by every annotator, one after the other, a part at a time."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from flows.annotators.protocol import Annotator, Group, Marks
from flows.generate.run import GenerationRun, Judged
from flows.generate.sources import quarantine_row
from flows.models.engine_calls import Pay
from transforms.asking.answers import shown
from transforms.chat.conversation import asked_of
from transforms.sources.load import Quarantined

STAGE = "annotate"
FIRST_AGAIN = 1  # the number of the second call, as `repeat`


class _Part(NamedTuple):
    """One part of the answers as annotators are asked about it."""

    answers: pa.Table
    groups: list[Group]
    rows: list[list[int]]  # of each group's answers, in the part's table


def annotate(run: GenerationRun, first_part: int, pay: Pay) -> None:
    """Score the run's answers from part `first_part` on by every annotator, some prompts of the first part twice.

    Args:
        run: what is known of its annotators' judgements grows by a row a response.
        first_part: number of the first part without scores.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    numbers = range(first_part, len(run.answers))
    for annotator, judged in zip(run.plan.annotators, run.judged, strict=True):
        label = annotator.label
        total = sum(annotator.questions(_part(run, number).groups) for number in numbers)
        with closing(annotator), run.progress.bar(f"annotate ({label})", unit="questions", total=total) as advance:
            for number in numbers:
                part = _part(run, number)
                annotator.pay(part.groups, f"annotate {label} part {number}", pay=pay, advance=advance)
                marks = annotator.marks(part.groups)
                run.quarantined_responses += run.quarantine(_keep(judged, annotator, part, marks))
                if number == 0 and run.config.repeats:
                    some = part.groups[: run.config.repeats]
                    annotator.pay(
                        some, f"annotate {label} again", pay=pay, advance=lambda *_, **__: None, repeat=FIRST_AGAIN
                    )
                    judged.again = _scores_by_row(part, annotator.marks(some, repeat=FIRST_AGAIN))


def _part(run: GenerationRun, number: int) -> _Part:
    """The usable responses of a part, prompt by prompt."""
    table = run.answers.read(number)
    thinking = {policy.label: policy.config.thinking for policy in run.plan.policies}
    columns = (table[name].to_pylist() for name in ("prompt_id", "policy", "response", "reasoning", "status"))
    groups: list[Group] = []
    rows: list[list[int]] = []
    asked = asked_of(table)
    for row, (prompt_id, policy, text, reasoning, status) in enumerate(zip(*columns, strict=True)):
        if status != "usable":
            continue
        turn = shown(text, reasoning, thinking[policy])
        if groups and groups[-1].prompt_id == prompt_id:
            groups[-1] = groups[-1]._replace(answers=[*groups[-1].answers, turn])
            rows[-1].append(row)
        else:
            groups.append(Group(prompt_id, asked[row], [turn]))
            rows.append([row])
    return _Part(table, groups, rows)


def _keep(judged: Judged, annotator: Annotator, part: _Part, marks: Sequence[Marks]) -> Iterator[Quarantined]:
    """Add what an annotator said of a part to what is known of it; yields what it could not say."""
    scores = np.full(len(part.answers), np.nan)
    objectives = np.full((len(part.answers), len(annotator.objectives)), np.nan)
    start = judged.responses
    for rows, mark in zip(part.rows, marks, strict=True):
        for place, row in enumerate(rows):
            score = mark.scores[place]
            if isinstance(score, str):
                judged.unscored[score] += 1
                judged.why[start + row] = score
                yield quarantine_row(STAGE, part.answers, row, f"{annotator.label}: {score}")
                continue
            scores[row] = score
            if mark.objectives is not None and (values := mark.objectives[place]) is not None:
                objectives[row] = values
        for first, second, margin in mark.comparisons:
            judged.asked += 1
            if isinstance(margin, str):
                judged.unreadable += 1
                other = part.answers["response_index"][rows[second]]
                why = f"{annotator.label}, against response_index {other} shown second: {margin}"
                yield quarantine_row(STAGE, part.answers, rows[first], why)
            else:
                judged.first.append(start + rows[first])
                judged.second.append(start + rows[second])
                judged.margin.append(margin)
        if not mark.comparisons:
            judged.asked += len(rows)
            judged.unreadable += sum(isinstance(score, str) for score in mark.scores)
    judged.scores.append(scores)
    judged.objectives.append(objectives)
    judged.responses += len(scores)


def _scores_by_row(part: _Part, marks: Sequence[Marks]) -> dict[int, float]:
    """Row of the part → score of the second call, NaN where there is none."""
    return {
        row: np.nan if isinstance(score, str) else score
        for rows, mark in zip(part.rows, marks, strict=False)
        for row, score in zip(rows, mark.scores, strict=True)
    }
