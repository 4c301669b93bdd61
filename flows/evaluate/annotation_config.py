"""The section `annotations` of an evaluation: files of verdicts that a chat benchmark's own tool wrote."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


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


Annotations = Annotated[ArenaHardAnnotations | MtBenchAnnotations, Field(discriminator="kind")]
