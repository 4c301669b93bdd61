"""What every source of a recipe can say. Each kind adds its own keys in its own file."""

from typing import Annotated, Literal

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
        label: the name that appears as `source` in every table. By default the kind; of several sources of one kind
            without a label the second is `KIND-2`, the third `KIND-3`, in the order of the recipe. No two may be equal.
        license: its licence as the Hub's id (`cc-by-4.0`), where neither the kind nor the set's own card states it, or
            you know better. The dataset card's licence follows from those of all sources.
        token_ids: what becomes of token ids that rows bring along (`prompt_ids`, `chosen_ids`, `rejected_ids` …): `use`
            takes them as they are, after a check against the text and the policy's tokenizer; `ignore` encodes anew.
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
    token_ids: Literal["use", "ignore"] = "use"

    @property
    def kind_name(self) -> str:
        """Each kind's options have it as `kind`, of a type of its own."""
        name: str = self.kind  # type: ignore[attr-defined]
        return name
