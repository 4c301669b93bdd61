"""The section of a rule: a function of the user's that scores responses."""

from typing import Annotated, Literal

from pydantic import Field

from flows.recipe.models import Label, Positive, Section


class RuleConfig(Section):
    """A Python function `score(prompt, response) -> float`. It runs as you: its time is limited, its rights are not."""

    kind: Literal["rule"] = "rule"
    name: Label | None = Field(None, description="What it is called in the tables; by default its kind.")
    function: Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="`path/to/file.py:name`. Of the response's text and, by the first parameter's name, the last user "
        "turn as text (any name) or all turns as a list of role and content (`messages`)."
    )
    timeout_s: Annotated[float, Field(gt=0)] = Field(5.0, description="Seconds for one call.")
    memory_mib: Annotated[int, Field(ge=64)] | None = Field(
        4096, description="Address space of each process, libraries included; null for no limit."
    )
    batch: Positive = Field(1024, description="Calls a ledger part, and the most that a crash can lose.")
