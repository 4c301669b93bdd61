"""The kinds of source, one a file: how its raw rows become canonical pairs.

`SOURCES` lists those with pairs, `EVALUATED` what an evaluation reads, `KINDS` all.

preference               TRL's formats; anything without a kind of its own
ultrafeedback            openbmb/UltraFeedback, several rated completions a prompt
ultrafeedback_binarized  HuggingFaceH4/ultrafeedback_binarized
skywork                  Skywork-Reward-Preference
shp                      stanfordnlp/SHP, ordered by votes
rlhflow                  RLHFlow's mix
onpolicy                 princeton-nlp's on-policy sets (SimPO)
hh_rlhf                  Anthropic/hh-rlhf, transcripts
helpsteer2               nvidia/HelpSteer2, five attributes
helpsteer3               nvidia/HelpSteer3, preferences
nectar                   seven ranked responses
orca_dpo_pairs           Intel's, and Argilla's ratings of them
tulu3                    Ai2's mixtures
sharegpt                 ShareGPT-style pairs
arena                    Chatbot Arena
mt_bench                 MT-bench's human judgments
kto                      unpaired completions, good or bad
distilabel               what its pipelines write
argilla                  what its SDK exports
generated                what flows.generate made
curated                  what a run of this project wrote
starter                  the starter's own data
prompts                  prompts without responses, which models are to answer
rewardbench2             right and wrong responses to a prompt, for flows.evaluate alone
"""

from typing import Annotated, Any, Final

from pydantic import Field

from transforms.sources.adapter import SourceKind
from transforms.sources.kinds import (
    arena,
    argilla,
    curated,
    distilabel,
    generated,
    helpsteer2,
    helpsteer3,
    hh_rlhf,
    kto,
    mt_bench,
    nectar,
    onpolicy,
    orca_dpo_pairs,
    preference,
    prompts,
    rewardbench2,
    rlhflow,
    sharegpt,
    shp,
    skywork,
    starter,
    tulu3,
    ultrafeedback,
    ultrafeedback_binarized,
)

Source = Annotated[
    ultrafeedback.UltraFeedbackOptions
    | ultrafeedback_binarized.UltraFeedbackBinarizedOptions
    | skywork.SkyworkOptions
    | shp.ShpOptions
    | rlhflow.RlhflowOptions
    | onpolicy.OnpolicyOptions
    | hh_rlhf.HhRlhfOptions
    | helpsteer2.HelpSteer2Options
    | helpsteer3.HelpSteer3Options
    | nectar.NectarOptions
    | orca_dpo_pairs.OrcaDpoPairsOptions
    | tulu3.Tulu3Options
    | sharegpt.SharegptOptions
    | arena.ArenaOptions
    | mt_bench.MtBenchOptions
    | kto.KtoOptions
    | preference.PreferenceOptions
    | starter.StarterOptions
    | curated.CuratedOptions
    | distilabel.DistilabelOptions
    | argilla.ArgillaOptions
    | generated.GeneratedOptions,
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
    "helpsteer2": helpsteer2.KIND,
    "helpsteer3": helpsteer3.KIND,
    "nectar": nectar.KIND,
    "orca_dpo_pairs": orca_dpo_pairs.KIND,
    "tulu3": tulu3.KIND,
    "sharegpt": sharegpt.KIND,
    "arena": arena.KIND,
    "mt_bench": mt_bench.KIND,
    "kto": kto.KIND,
    "preference": preference.KIND,
    "starter": starter.KIND,
    "curated": curated.KIND,
    "distilabel": distilabel.KIND,
    "argilla": argilla.KIND,
    "generated": generated.KIND,
}

# Those without responses too.
PromptSource = Annotated[Source | prompts.PromptsOptions, Field(discriminator="kind")]
# A benchmark of several responses a prompt, of which no pairs are made.
EvaluationSource = Annotated[Source | rewardbench2.RewardBench2Options, Field(discriminator="kind")]
EVALUATED: Final[dict[str, SourceKind[Any]]] = {**SOURCES, rewardbench2.NAME: rewardbench2.KIND}
KINDS: Final[dict[str, SourceKind[Any]]] = {**EVALUATED, "prompts": prompts.KIND}
