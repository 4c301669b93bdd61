"""What a judge's tokens cost. Free of currencies: prices and sums are in the recipe's own."""

from typing import Final, NamedTuple

_PER: Final = 1_000_000


class Price(NamedTuple):
    """Of a million tokens, as providers state it."""

    input: float
    output: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / _PER
