"""The section `annotations` of an evaluation: files of verdicts that a chat benchmark's own tool wrote."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AnnotationFile(BaseModel):
    """What every kind has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="The file of verdicts; any fsspec URL.")
    model: str | None = Field(None, description="Whose answers, as the file calls them; needed where it has several.")
    questions: str | None = Field(
        None, description="The benchmark's own file of questions, which says what was not judged."
    )


class ArenaHardAnnotations(AnnotationFile):
    """Arena-Hard v2: `model_judgment/JUDGE/MODEL.jsonl`. Win rates by category, as its show_result.py computes them."""

    kind: Literal["arena_hard"]


class MtBenchAnnotations(AnnotationFile):
    """MT-Bench: `model_judgment/JUDGE_single.jsonl`. Mean ratings by turn, as its show_result.py computes them."""

    kind: Literal["mt_bench"]


class AlpacaEvalAnnotations(AnnotationFile):
    """AlpacaEval 2: `results/MODEL/ANNOTATOR/annotations.json`. Its win rates, the length-controlled one by `gamed`."""

    kind: Literal["alpaca_eval"]
    gamed: str | None = Field(
        None,
        description="Of AlpacaEval: df_gamed.csv of the dataset tatsu-lab/alpaca_eval, for the length-controlled rate; "
        "needs `questions`, alpaca_eval.json of the same dataset.",
    )

    @model_validator(mode="after")
    def _difficulties_go_by_instruction(self) -> Self:
        if self.gamed is not None and self.questions is None:
            message = "gamed goes by the instructions' places in the benchmark: name alpaca_eval.json as questions"
            raise ValueError(message)
        return self


Annotations = Annotated[AlpacaEvalAnnotations | ArenaHardAnnotations | MtBenchAnnotations, Field(discriminator="kind")]
