"""Preferences of annotators between two responses, as NVIDIA's HelpSteer sets write them: one signed strength.

-3, -2 and -1 say that response 1 is much better, better or slightly better, 1, 2 and 3 say it of response 2, and 0 that
both are about the same.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from pydantic import Field

from transforms.errors import RowError
from transforms.sources.fields import TIE, number
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields

STRONGEST: Final = 3
# Of an annotator who found that neither response can be rated (HelpSteer2's unprocessed votes).
NO_VOTE: Final = -100


class VoteOptions(SourceOptions):
    """How strong and how agreed a preference must be.

    Attributes:
        min_strength: pairs with a weaker preference are dropped (`min_strength`); 1 is slightly better, 2 better and 3
            much better. A strength of 0 is a tie and dropped as one, whatever stands here.
        min_agreement: pairs are dropped (`min_agreement`) if a smaller share of the annotators prefers the chosen
            response; one who prefers neither does not. 0 does not look at single votes.
    """

    min_strength: Annotated[int, Field(ge=1, le=STRONGEST)] = 1
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.0


class Judged(NamedTuple):
    """What annotators said of two responses.

    Attributes:
        better: 1 or 2. A tie is never a pair to train on, and has 1.
        scores: of the better and the worse one: the strength, and 0. Their margin is the strength.
        reason: why the pair will be dropped, None for a usable one.
    """

    better: int
    scores: tuple[float, float]
    reason: str | None

    def sides(self, first: object, second: object) -> tuple[object, object]:
        """The two responses, the better one first."""
        return (first, second) if self.better == 1 else (second, first)


def judged(row: Fields, name: str, votes: Sequence[tuple[object, str]], options: VoteOptions) -> Judged:
    """Read the strength in column `name`.

    Args:
        row: the raw row.
        name: of the column.
        votes: of single annotators, each with its name for errors. They are not looked at without `min_agreement`.
        options: of the source.

    Raises:
        RowError: no strength, or no vote where votes are asked for.
    """
    decided = _strength(row.get(name), name)
    better = 2 if decided > 0 else 1
    scores = (abs(decided), 0.0)
    if decided == 0:
        return Judged(better, scores, TIE)
    reason = "min_strength" if abs(decided) < options.min_strength else None
    if options.min_agreement:
        given = [_strength(vote, what) for vote, what in votes if vote != NO_VOTE]
        if not given:
            message = f"{name} is {decided:g} and there is no vote, expected at least one where min_agreement is set"
            raise RowError(message)
        agreed = sum(vote * decided > 0 for vote in given) / len(given)
        if reason is None and agreed < options.min_agreement:
            reason = "min_agreement"
    return Judged(better, scores, reason)


def _strength(value: object, what: str) -> float:
    found = number(value, what)
    if found is None or found != found // 1 or abs(found) > STRONGEST:
        shown = "null" if found is None else f"{found:g}"
        message = (
            f"{what} is {shown}, expected a whole number from -3 (response 1 is much better) to 3 (response 2 is),"
            " 0 for about the same"
        )
        raise RowError(message)
    return found
