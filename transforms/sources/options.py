"""What every source of a recipe can say. Each kind adds its own keys in its own file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SourceOptions(BaseModel):
    """Where rows come from and how many of them are taken.

    Attributes:
        path: a Hub id (`org/name`), or a local file or folder (`./x.jsonl`, `/data/x`, `file.parquet`), or
            any fsspec URL (`s3://…`, `hf://…`). A relative local path needs an ending or `./`: a bare
            `org/name` is always the Hub, also when a folder of that name exists here.
        name: the Hub dataset's configuration.
        split: of a Hub dataset or a `save_to_disk` folder.
        revision: branch, tag or commit of a Hub dataset; resolved to a commit once, at the start.
        limit: read only the first so many raw rows. The one option that depends on row order.
        weight: share of this source's pairs that stay, chosen by content (the alignment-handbook's mixer).
        max_pairs_per_prompt: keep at most so many pairs of one prompt, chosen by content.
        label: the name that appears as `source` in every table; the kind by default.
        license: its licence as the Hub's id (`cc-by-4.0`), where neither the kind nor the set's own card states it, or
            you know better. The dataset card's licence follows from those of all sources.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_pairs_per_prompt: Annotated[int, Field(ge=1)] | None = None
    label: str | None = None
    license: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")] | None = None
