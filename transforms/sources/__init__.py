"""Raw preference datasets → canonical pairs. `SOURCES` lists the kinds; `load.load_batches` does the work."""

from typing import Annotated, Any, Final

from pydantic import Field

from transforms.sources import (
    argilla,
    curated,
    distilabel,
    hh_rlhf,
    onpolicy,
    preference,
    rlhflow,
    sharegpt,
    shp,
    skywork,
    starter,
    ultrafeedback,
    ultrafeedback_binarized,
)
from transforms.sources.adapter import SourceKind

Source = Annotated[
    ultrafeedback.UltraFeedbackOptions
    | ultrafeedback_binarized.UltraFeedbackBinarizedOptions
    | skywork.SkyworkOptions
    | shp.ShpOptions
    | rlhflow.RlhflowOptions
    | onpolicy.OnpolicyOptions
    | hh_rlhf.HhRlhfOptions
    | sharegpt.SharegptOptions
    | preference.PreferenceOptions
    | starter.StarterOptions
    | curated.CuratedOptions
    | distilabel.DistilabelOptions
    | argilla.ArgillaOptions,
    Field(discriminator="kind"),
]

SOURCES: Final[dict[str, SourceKind[Any]]] = {
    "ultrafeedback": ultrafeedback.KIND,
    "ultrafeedback_binarized": ultrafeedback_binarized.KIND,
    "skywork": skywork.KIND,
    "shp": shp.KIND,
    "rlhflow": rlhflow.KIND,
    "onpolicy": onpolicy.KIND,
    "hh_rlhf": hh_rlhf.KIND,
    "sharegpt": sharegpt.KIND,
    "preference": preference.KIND,
    "starter": starter.KIND,
    "curated": curated.KIND,
    "distilabel": distilabel.KIND,
    "argilla": argilla.KIND,
}
