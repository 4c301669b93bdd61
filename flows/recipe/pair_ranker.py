"""The section of a pair ranker: a model that compares two responses."""

from typing import Literal

from pydantic import Field

from flows.recipe.models import Label, Positive, Section
from transforms.precision import Dtype


class PairRankerConfig(Section):
    """PairRM (LLM-Blender): each two responses of a prompt in both orders, averaged. SPPO's annotator."""

    kind: Literal["pairrm"] = "pairrm"
    name: Label | None = Field(None, description="What it is called in the tables; by default its kind.")
    model: str = Field("llm-blender/PairRM-hf", description="Hub id or local folder, in the layout of PairRM-hf.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")
    dtype: Dtype = Field("float32", description="Of the weights; its head is computed in float32 in any case.")
    max_tokens_per_batch: Positive = Field(8192, description="Padded tokens a forward pass.")
    batch: Positive = Field(256, description="Comparisons a ledger part, and the most that a crash can lose.")
