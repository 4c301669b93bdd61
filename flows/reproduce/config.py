"""What the files under flows/configs/reproduce hold: papers, their tables and figures, and the steps that redo them."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transforms.records.reproduction import Series

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=48)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]  # a name, and no path
Command = Literal[
    "flows.curate",
    "flows.generate",
    "flows.audit",
    "flows.train",
    "flows.evaluate",
    "flows.compare",
    "flows.decode",
]
POINTS: Final = "points"  # what a difference of two percentages is in
_NO_SHARES: Final = ("margin", "chosen")  # of held-out pairs: a difference of them has the unit of the axis


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Section):
    """One command, in a file of its own: `small/pairs.yaml` is the step `pairs` of the small size.

    `{NAME}` in a text stands for the folder of the step NAME, `{here}` for the one where this step's `files` lie,
    `{data}` for the folder that `--data` names. Where the results go is not said: it is the step's own folder.
    """

    run: Command = Field(description="A command of this project.")
    recipe: dict[str, Any] | None = Field(None, description="Its YAML file, with the output folder left out.")
    arguments: list[str] = Field([], description="Of the command, behind the recipe.")
    hours: float | None = Field(None, gt=0, description="Of two cores, or of one H100; left out where nobody knows.")
    files: dict[FileName, Any] = Field(
        {}, description="YAML files that it reads, by name; they are written into `{here}`."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.recipe is None and not self.arguments:
            message = "a step needs a recipe, or arguments"
            raise ValueError(message)
        return self


class Reading(_Section):
    """A series that is read from what a step left, or a point each from what several left."""

    label: str = Field(description="Of the line, the row of bars or the column.")
    step: Name | None = Field(None, description="Whose folder is read.")
    steps: dict[str, Name] = Field({}, description="In place of `step`: x → the step whose one number stands there.")
    reads: str = Field(description="Which reader.")
    options: dict[str, Any] = Field({}, description="Of the reader, such as the variant or the side.")
    unit: str | None = Field(
        None,
        description="By default that of the axis, and points for differences of shares (`minus_first`); an empty text "
        "is no unit.",
    )

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if (self.step is None) == (not self.steps):
            message = f"series {self.label!r} needs `step` or `steps`, and not both"
            raise ValueError(message)
        return self

    @property
    def named(self) -> list[str]:
        """The steps that it reads."""
        return [self.step] if self.step is not None else list(self.steps.values())

    @property
    def own_unit(self) -> str | None:
        """The unit of its numbers; None: that of the axis."""
        of_shares = self.options.get("minus_first") and self.options.get("measure") not in _NO_SHARES
        return POINTS if self.unit is None and of_shares else self.unit


class Place(_Section):
    """A point of a series here."""

    series: str = Field(description="Its label.")
    x: float | str = Field(description="Where the point stands, or its name.")


class Claim(_Section):
    """What the paper says, as an order of two numbers that this run has, or as a sign."""

    says: str = Field(description="A sentence of ours, not the paper's words.")
    higher: Place | float = Field(description="A point, or a number such as 0 where a difference is below it.")
    than: Place | float = Field(description="Another point, or a number such as 0 for a difference.")

    @model_validator(mode="after")
    def _of_this_run(self) -> Self:
        if not self.places:
            message = f"claim {self.says!r}: `higher` and `than` are both numbers; one of them has to be a point"
            raise ValueError(message)
        return self

    @property
    def places(self) -> list[Place]:
        """Its points, one or two."""
        return [one for one in (self.higher, self.than) if isinstance(one, Place)]


class Sized(_Section):
    """How an entry is redone at one size."""

    steps: list[Name] = Field([], description="Those that are read; the steps that they build on come along.")
    needs: str = Field(description="Models, data, hardware, keys: what this entry has of its own.")
    notes: list[Name] = Field([], description="Names of the file's notes that hold of it too.")
    hours: float | None = Field(
        None,
        gt=0,
        description="Of all steps that it rests on; small: of two cores, paper: of one H100. Left out where nobody "
        "knows.",
    )
    y_here: str = Field(
        "", description="What y is here, with its unit, where that is another quantity than in the paper."
    )
    series: list[Reading] = Field([], description="What is drawn beside the paper's.")
    also: list[Reading] = Field([], description="Numbers that claims rest on and that are not drawn.")
    claims: list[Claim] = Field([], description="What is judged by intervals.")
    one_training: bool = Field(
        False, description="A side of a claim is one training: its interval is over prompts or pairs, over no seeds."
    )
    caveat: str = Field("", description="Why it may come out otherwise than in the paper.")
    cannot: str | None = Field(None, description="Why it is not done at this size.")

    @property
    def reads(self) -> list[str]:
        """Every step whose folder is read for it."""
        return list(dict.fromkeys([*self.steps, *(name for one in (*self.series, *self.also) for name in one.named)]))

    @model_validator(mode="after")
    def _done_or_not(self) -> Self:
        if bool(self.steps) == (self.cannot is not None):
            message = "an entry has steps, or says in `cannot` why it has none"
            raise ValueError(message)
        labels = [one.label for one in (*self.series, *self.also)]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            message = f"series: {', '.join(twice)} stands there twice"
            raise ValueError(message)
        for claim in self.claims:
            for place in claim.places:
                if place.series not in labels:
                    message = f"claims: there is no series {place.series!r}; there are {', '.join(labels)}"
                    raise ValueError(message)
        return self


class Entry(_Section):
    """A table or figure of a paper."""

    id: Annotated[str, Field(pattern=r"^(table|figure)-[0-9a-z]+(-[a-z0-9-]+)?$", max_length=48)] = Field(
        description="`table-2`, `figure-4`."
    )
    shows: str = Field(description="In a sentence of ours.")
    x: str = Field("", description="What its axis or its rows are.")
    y: str = Field("", description="With its unit.")
    printed: list[Series] = Field([], description="As printed; empty where a curve has no numbers.")
    printed_in: str = Field("", description="Where those numbers were read, if not in the paper.")
    kind: Literal["points", "bars"] = Field("bars", description="How it is drawn.")
    log_x: bool = Field(False, description="Whether x is drawn on a logarithmic axis.")
    nothing: str | None = Field(None, description="Why there is nothing to redo: a drawing, a list of settings.")


class Paper(_Section):
    """A paper, with every table and figure that it has."""

    paper: Name = Field(description="The word that the command takes.")
    title: str = Field(description="As printed.")
    source: str = Field(description="Where to find it.")
    known: str = Field(description="How its tables and figures are known here, and which are not.")
    entries: list[Entry] = Field(description="Every table and figure, also where there is nothing to redo.")

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        ids = [one.id for one in self.entries]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            message = f"entries: {', '.join(twice)} stands there twice"
            raise ValueError(message)
        return self


class Sizes(_Section):
    """How each entry is redone at one size: `small.yaml`, `paper.yaml`. Keys are PAPER/ENTRY."""

    notes: dict[Name, str] = Field({}, description="What many entries need, said once; they name it in `notes`.")
    entries: dict[str, Sized] = Field(description="A line for every entry of every paper that can be measured.")

    @model_validator(mode="after")
    def _notes_are_there(self) -> Self:
        for key, line in self.entries.items():
            if unknown := [name for name in line.notes if name not in self.notes]:
                message = f"{key}: no note is called {', '.join(unknown)}; there are {', '.join(self.notes) or 'none'}"
                raise ValueError(message)
        if idle := [name for name in self.notes if all(name not in line.notes for line in self.entries.values())]:
            message = f"notes: no entry names {', '.join(idle)}"
            raise ValueError(message)
        return self
