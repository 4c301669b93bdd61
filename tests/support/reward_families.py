"""Families of reward models, each as a tiny random checkpoint of its class, and what becomes of it here.

`python tests/support/reward_families.py` writes docs/reference/reward-models.md after a change of this table, which
tests/transforms/engines/test_reward_families.py and test_reward_families_in_vllm.py hold against what the engines do.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "reward-models.md"
LOADS: Final = "loads"
NAME: Final = "tiny"  # of the folder, as messages name it

SIZES: Final = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
GPT2: Final = {"vocab_size": 320, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512, "pad_token_id": 2}


class Family(NamedTuple):
    """A row of the table."""

    models: str
    architecture: str  # architectures[0] of config.json
    head: str
    source: str
    make: Callable[[Path], None]
    transformers: str = LOADS  # or what its refusal says
    vllm: str = LOADS

    def save(self, folder: Path) -> Path:
        """The checkpoint, with a tokenizer."""
        from tests_support import tiny_tokenizer

        folder.mkdir(parents=True, exist_ok=True)
        self.make(folder)
        if not (folder / "tokenizer.json").exists():
            tiny_tokenizer().save_pretrained(folder)
        return folder


def of_transformers(base: str, kind: str = "ForSequenceClassification", **config: Any) -> Callable[[Path], None]:
    """A checkpoint of a class of transformers."""

    def make(folder: Path) -> None:
        import torch
        import transformers

        torch.manual_seed(0)
        outputs = {"num_labels": 1} if kind == "ForSequenceClassification" else {}
        made = getattr(transformers, f"{base}Config")(**(config or SIZES), **outputs)
        getattr(transformers, f"{base}{kind}")(made).save_pretrained(folder)

    return make


def of_its_own(
    architecture: str,
    base: str,
    heads: dict[str, tuple[int, ...]],
    prefix: str = "model.",
    sizes: dict[str, int] | None = None,
    **config: Any,
) -> Callable[[Path], None]:
    """A decoder of transformers under another class name, with tensors of these shapes beside it."""

    def make(folder: Path) -> None:
        import torch
        import transformers
        from safetensors.torch import save_file

        torch.manual_seed(0)
        made = getattr(transformers, f"{base}Config")(**(sizes or SIZES))
        tensors = {prefix + name: t for name, t in getattr(transformers, f"{base}Model")(made).state_dict().items()}
        tensors |= {name: torch.randn(shape) for name, shape in heads.items()}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        content = made.to_dict() | {"architectures": [architecture]} | config
        (folder / "config.json").write_text(json.dumps(content))

    return make


def armorm(folder: Path) -> None:
    from reward_models import save_armorm

    save_armorm(folder)


def quantiles(folder: Path) -> None:
    from reward_models import save_armorm

    save_armorm(folder, num_quantiles=19)


def pairrm(folder: Path) -> None:
    from reward_models import save_pairrm

    save_pairrm(folder)


def remote(folder: Path) -> None:
    """InternLM2: a decoder that transformers does not have, whose config names files beside it."""
    import torch
    from safetensors.torch import save_file

    files = {"AutoConfig": "configuration_internlm2.InternLM2Config"}
    content = {"architectures": ["InternLM2ForRewardModel"], "model_type": "internlm2", "auto_map": files, **SIZES}
    (folder / "config.json").write_text(json.dumps(content))
    save_file({"v_head.weight": torch.zeros(1, 64)}, folder / "model.safetensors", {"format": "pt"})


def pickled(folder: Path) -> None:
    import torch

    torch.save({"v_head.weight": torch.zeros(1, 64)}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **SIZES}))


HIDDEN: Final = SIZES["hidden_size"]
NEOX: Final = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
ONE_LAYER: Final = {"regression_head.weight": (1, HIDDEN)}
TWO_LAYERS: Final = {
    "score.0.weight": (HIDDEN, HIDDEN), "score.0.bias": (HIDDEN,), "score.2.weight": (1, HIDDEN), "score.2.bias": (1,),
}  # fmt: skip
EXPECTED: Final = "has the architecture {}, expected one that ends in ForSequenceClassification: "
CAUSAL: Final = EXPECTED + "a causal model has no reward head"
UNKNOWN: Final = EXPECTED + "transformers has no class of that name"
AS_LLAMA: Final = "is a {}, but was loaded as LlamaForSequenceClassification, which would score another way"
IN_VLLM: Final = "is a {}, which vLLM does not score by one number: set reward.engine: transformers"
PAIRWISE: Final = "is a DebertaV2PairRM, which compares two responses and has no reward of one"
GATED: Final = (
    "is a LlamaForRewardModelWithGating, whose gating network vLLM does not have: set reward.engine: transformers"
)
QRM: Final = "is a LlamaForRewardModelWithGating with num_quantiles (QRM), whose rewards are quantiles"
TYPE: Final = "has model type `gpt_neox_reward_model` but Transformers does not recognize this architecture"
CODE: Final = "contains custom code which must be executed to correctly load the model"
PICKLED: Final = "Expected config.json and *.safetensors (pickled weights are refused)"
IN_TEXT: Final = ("none", "DebertaV2PairRM", "LlamaForRewardModelWithGating")  # whose messages are theirs alone
LINEAR: Final = "`score`: hidden to 1"
BENCH: Final = "RewardBench `models/{}`, commit {}"
INFERRED: Final = "inferred"


def refused(
    models: str, architecture: str, head: str, source: str, make: Callable[[Path], None], message: str
) -> Family:
    """A row that both engines refuse for the same reason."""
    said = message.format(architecture)
    return Family(models, architecture, head, source, make, said, said)


def headed(models: str, architecture: str, head: str, source: str, make: Callable[[Path], None]) -> Family:
    """A row of transforms/engines/decoder_heads.py."""
    return Family(models, architecture, head, source, make, vllm=IN_VLLM.format(architecture))


FAMILIES: Final = [
    Family("Skywork-Reward-Llama-3.1-8B(-v0.2), Skywork-Reward-V2-Llama-3.x, FsfairX-LLaMA3-RM-v0.1, "
           "Llama-3.1-Tulu-3-8B-RM, Llama-3.1-8B-Instruct-RM-RB2, GRM-Llama3.x-rewardmodel-ft",
           "LlamaForSequenceClassification", LINEAR, INFERRED, of_transformers("Llama")),
    Family("Skywork-Reward-Gemma-2-27B(-v0.2), GRM-Gemma2-2B-rewardmodel-ft, FsfairX-Gemma2-RM-v0.1",
           "Gemma2ForSequenceClassification", LINEAR, INFERRED,
           of_transformers("Gemma2", **SIZES, head_dim=32, query_pre_attn_scalar=32)),
    Family("Skywork-Reward-V2-Qwen3-0.6B to 8B, Qwen-3-Nemotron-32B-Reward", "Qwen3ForSequenceClassification",
           LINEAR, "the card of the latter, commit c9f9d58", of_transformers("Qwen3", **SIZES, head_dim=32)),
    Family("Qwen-2.5-Nemotron-32B-Reward", "Qwen2ForSequenceClassification", LINEAR, "the card",
           of_transformers("Qwen2")),
    Family("RM-Mistral-7B", "MistralForSequenceClassification", LINEAR, INFERRED, of_transformers("Mistral")),
    Family("RM-Gemma-2B", "GemmaForSequenceClassification", LINEAR, INFERRED,
           of_transformers("Gemma", **SIZES, head_dim=32)),
    Family("OLMo-2-1124-7B-RM", "Olmo2ForSequenceClassification", LINEAR, INFERRED, of_transformers("Olmo2")),
    Family("pythia-1b-deduped-tldr-rm", "GPTNeoXForSequenceClassification", LINEAR, INFERRED,
           of_transformers("GPTNeoX", **NEOX)),
    Family("gpt2-large-helpful-reward_model", "GPT2ForSequenceClassification", LINEAR, INFERRED,
           of_transformers("GPT2", **GPT2)),
    Family("OpenAssistant/reward-model-deberta-v3-large-v2 (it needs `reward.chat_template`)",
           "DebertaV2ForSequenceClassification", "pooler, then `classifier`: hidden to 1", INFERRED,
           of_transformers("DebertaV2", **NEOX, pooler_hidden_size=64),
           vllm="Model architectures ['DebertaV2ForSequenceClassification'] are not supported for now"),
    Family("RLHFlow/ArmoRM-Llama3-8B-v0.1", "LlamaForRewardModelWithGating",
           "19 objectives, weighed by a gating network that reads the prompt",
           "`modeling_custom.py` (commit eb2676d) in a public copy; names and shapes of its tensors in a "
           "public record of its shards", armorm, vllm=GATED),
    headed("openbmb/Eurus-RM-7b", "EurusRewardModel", "`regression_head`: hidden to 1, no bias",
           "its modeling file, in a public copy", of_its_own("EurusRewardModel", "Mistral", ONE_LAYER)),
    headed("openbmb/UltraRM-13b", "LlamaRewardModel", "`regression_head`: hidden to 1, no bias",
           BENCH.format("openbmb.py", "853ec54"), of_its_own("LlamaRewardModel", "Llama", ONE_LAYER)),
    headed("Qwen2.5-Math-RM-72B", "Qwen2ForRewardModel", "`score`: two layers and a ReLU between them",
           "SGLang `srt/models/qwen2_rm.py`, vLLM `qwen2_rm.py`",
           of_its_own("Qwen2ForRewardModel", "Qwen2", TWO_LAYERS)),
    headed("infly/INF-ORM-Llama3.1-70B", "INFORMForSequenceClassification",
           "`score`: two layers and a ReLU between them", BENCH.format("inform.py", "2819480"),
           of_its_own("INFORMForSequenceClassification", "Llama", TWO_LAYERS)),
    refused("llm-blender/PairRM-hf, mightbe/Better-PairRM", "DebertaV2PairRM",
            "source and candidate to hidden to 1, at three marks; it is [`kind: pairrm`](generation.md#kind-pairrm)",
            "LLM-Blender `pair_ranker/pairrm.py`, commit 5d38ca9", pairrm, PAIRWISE),
    refused("nicolinho/QRM-Llama3-8B, QRM-Llama3.1-8B", "LlamaForRewardModelWithGating",
            "quantiles of 19 objectives, gated",
            BENCH.format("qrm.py", "290a868") + "; the class name from a public copy", quantiles, QRM),
    refused("nicolinho/QRM-Gemma-2-27B", "Gemma2ForQuantileSequenceClassification",
            "19 quantiles of 5 objectives, gated", "another project's port, which names its tensors",
            of_its_own("Gemma2ForQuantileSequenceClassification", "Gemma2", {"regression_layer.weight": (95, HIDDEN)}),
            UNKNOWN),
    refused("LxzGordon/URM-LLaMa-3.1-8B", "LlamaForSequenceClassificationWithNormal_Weights",
            "`score` to 5 means and 5 variances, the means weighed by a network over the last token",
            "SGLang `srt/models/llama_reward.py`",
            of_its_own("LlamaForSequenceClassificationWithNormal_Weights", "Llama", {"score.weight": (10, HIDDEN)}),
            UNKNOWN),
    refused("Ray2333/GRM-llama3-8B-sftreg, GRM-Gemma-2B-sftreg", "GRewardModel", "`v_head.summary`: one layer or more",
            BENCH.format("grm.py", "190bfac") + "; the class name is RewardBench's",
            of_its_own("GRewardModel", "Llama", {"v_head.summary.0.weight": (1024, HIDDEN)}), UNKNOWN),
    Family("Nexusflow/Athene-RM-8B, -70B", "AtheneForSequenceClassification",
           "`v_head`: hidden to 1, at a token put behind the conversation", BENCH.format("athene.py", "98cda4a"),
           of_its_own("AtheneForSequenceClassification", "Llama", {"v_head.weight": (1, HIDDEN)},
                      id2label={"0": "LABEL_0"}),
           transformers=AS_LLAMA.format("AtheneForSequenceClassification"),
           vllm="Model architectures ['AtheneForSequenceClassification'] are not supported for now"),
    refused("ShikaiChen/LDL-Reward-Gemma-2-27B-v0.1", "LDLRewardModel27B",
            "distributions of 22 objectives, gated; pickled", BENCH.format("ldlreward.py", "853ec54"),
            of_its_own("LDLRewardModel27B", "Gemma2", {}), UNKNOWN),
    refused("PKU-Alignment/beaver-7b-v1.0-reward, -cost", "LlamaForScore", "`score_head`: hidden to 1",
            "safe-rlhf `models/score_model`, in public copies",
            of_its_own("LlamaForScore", "Llama", {"score_head.weight": (1, HIDDEN)}), UNKNOWN),
    refused("OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5", "GPTNeoXRewardModel",
            "`out_proj`: hidden to 1, of the mean or of the last token", BENCH.format("openassistant.py", "853ec54"),
            of_its_own("GPTNeoXRewardModel", "GPTNeoX", {"out_proj.weight": (1, HIDDEN)}, "gpt_neox.", NEOX,
                       model_type="gpt_neox_reward_model"), TYPE),
    refused("internlm/internlm2-1_8b-reward, -7b-, -20b-", "InternLM2ForRewardModel", "`v_head`: hidden to 1",
            "SGLang `srt/models/internlm2_reward.py`", remote, CODE),
    refused("nvidia/Llama-3.1-Nemotron-70B-Reward-HF", "LlamaForCausalLM", "the logit of a token, of a language model",
            "the card, commit 6def436", of_transformers("Llama", "ForCausalLM"), CAUSAL),
    refused("nvidia/Qwen3-Nemotron-8B-BRRM, -14B-, …-GenRM", "Qwen3ForCausalLM", "none: it writes a judgement",
            "NeMo-RL's guide to BR-RM; the class is inferred",
            of_transformers("Qwen3", "ForCausalLM", **SIZES, head_dim=32), CAUSAL),
    refused("stanfordnlp/SteamSHP-flan-t5-xl", "T5ForConditionalGeneration", "none: it writes A or B",
            BENCH.format("__init__.py", "0636d90"),
            of_transformers("T5", "ForConditionalGeneration", vocab_size=320, d_model=64, d_ff=96, num_layers=1,
                            num_heads=2, d_kv=32), CAUSAL),
    refused("berkeley-nest/Starling-RM-7B-alpha", "none", "`v_head`: hidden to 1; pickled",
            "LLM-Blender `other_rms/starling_rm.py`, commit 5dad62b", pickled, PICKLED),
]  # fmt: skip

_HEAD: Final = """# Reward models

What `reward.model` of a [recipe](recipe.md), the model of an [annotator `kind: reward`](generation.md#kind-reward)
and the judge of [rounds](rounds.md) can be. Each class was tried with a tiny random checkpoint: none of the checkpoints
in the table was downloaded. It is made from `tests/support/reward_families.py`
(`python tests/support/reward_families.py` writes this page), and slow tests hold every cell against what the engines
do.

A checkpoint loads if it is a sequence classifier of transformers with one output, a decoder with one of the heads in
`transforms/engines/decoder_heads.py`, or ArmoRM
([methods](../methods.md#reward-models-with-more-than-a-linear-head)). All tensors must be there, in their shapes, and
none beside them but a left-over `lm_head`; else a message names them. Weights are safetensors. Code that comes with a
checkpoint runs only with `reward.trust_remote_code: true`, and only where config.json maps
`AutoModelForSequenceClassification` to it; whether it runs under this version of transformers is another question.

Models that write their judgement can be [LLM judges](../how-to/judge-with-an-llm.md). For another checkpoint look at
`architectures` in its config.json, or try: a class that does not fit is refused when a generation is planned, and in a
curation when it is loaded, before anything is sampled.

*Read in* is where a class's name and its head were read. *Inferred* is a class
name that was read nowhere: public code loads the model by `AutoModelForSequenceClassification` (RewardBench's default
for models that it does not list, `models/__init__.py`, commit 0636d90), and transformers has one such class for its
base. Whether a repository on the Hub holds safetensors at every revision was not looked at; `main` of some is pickled.

✓ loads · [n] refused, with the message below

| models | class in config.json | head | transformers | vLLM | read in |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The text of the page."""
    messages: dict[str, int] = {}

    def cell(one: Family, outcome: str) -> str:
        said = outcome.replace(one.architecture, "…") if one.architecture not in IN_TEXT else outcome
        return "✓" if outcome == LOADS else f"[{messages.setdefault(said, len(messages) + 1)}]"

    rows = []
    for one in FAMILIES:
        outcomes = f"{cell(one, one.transformers)} | {cell(one, one.vllm)}"
        rows.append(f"| {one.models} | `{one.architecture}` | {one.head} | {outcomes} | {one.source} |")
    said = [f"{number}. … {message}" for message, number in messages.items()]
    return _HEAD + "\n".join([*rows, "", "## Messages", "", *said, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
