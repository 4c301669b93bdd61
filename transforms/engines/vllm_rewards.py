"""Rewards by vLLM's pooling runner: the raw head, equal to transformers within 1e-3 in float32."""

from collections.abc import Sequence

from transforms.engines.checks import check_scores
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ModelIdentity, Progress, ScoreRequest, no_progress
from transforms.engines.reward_checks import reward_config
from transforms.engines.vllm_process import VllmProcess, vllm_errors
from transforms.errors import EngineError, ModelError


class VllmRewards:
    """Scores with vLLM, which pools at each row's last token."""

    def __init__(
        self,
        model: ResolvedModel,
        *,
        trust_remote_code: bool = False,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        kv_cache_gib: float | None = None,
        tensor_parallel: int = 1,
        gpu_memory_utilization: float | None = None,
    ) -> None:
        """Load the model; the arguments are those of VllmCompletions.

        Raises:
            ModelError: the checkpoint is no reward model, or vLLM does not support it.
        """
        self.identity: ModelIdentity = model.identity
        config = reward_config(model, trust_remote_code=trust_remote_code)
        self._process = VllmProcess(
            model,
            runner="pooling",
            trust_remote_code=trust_remote_code,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            kv_cache_gib=kv_cache_gib,
            tensor_parallel=tensor_parallel,
            gpu_memory_utilization=gpu_memory_utilization,
        )
        if self._process.architecture != config.architectures[0]:
            message = (
                f"the reward model {model.identity.name} is a {config.architectures[0]}, but vLLM loaded it"
                f" as {self._process.architecture}: set reward.engine: transformers"
            )
            self.close()
            raise ModelError(message)

    def score(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[float]:
        """Rewards in the order of `requests`; see RewardEngine."""
        from vllm import PoolingParams

        check_scores(requests, vocab=self._process.vocab, context=self._process.context)
        # The default applies a sigmoid: rewards of 21.4, 21.5 and 24.7 all became 1.0.
        with vllm_errors(EngineError, "vLLM cannot score so"):
            raw = PoolingParams(task="classify", use_activation=False)
        outputs = self._process.run(
            [request.token_ids for request in requests],
            [raw] * len(requests),
            lambda output: progress(1, len(output.prompt_token_ids)),
        )
        rewards = []
        for request, output in zip(requests, outputs, strict=True):
            data = output.outputs.data
            if data.numel() != 1:
                message = (
                    f"the reward model {self.identity.name} gave an output of shape {tuple(data.shape)} for"
                    f" request {request.request_id}, expected one number"
                )
                raise EngineError(message)
            rewards.append(float(data.double().item()))
        return rewards

    def close(self) -> None:
        """Free the model. There is no other process to end."""
        self._process.close()
