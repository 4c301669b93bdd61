"""Completions by vLLM inside this process: token ids in, token ids out, a seed for each request."""

from collections.abc import Sequence
from typing import Any

from transforms.engines.checks import check_completions
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import (
    Completion,
    CompletionRequest,
    ModelIdentity,
    Progress,
    Sampling,
    no_progress,
)
from transforms.engines.vllm_process import VllmProcess, vllm_errors
from transforms.errors import EngineError


class VllmCompletions:
    """Samples with vLLM. Equal batches on equal engines give equal tokens; in bf16, other batches may not."""

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
        """Load the model: 4-5 s on a CPU for SmolLM2-135M, after 5-7 s of import.

        Args:
            model: what `resolve_model` found.
            trust_remote_code: run Python code that comes with the model.
            max_model_len: prompt and new tokens together; the model's context by default.
            max_num_seqs: sequences in flight; 64 on a CPU, vLLM's default on a GPU.
            kv_cache_gib: 1 GiB on a CPU, what is free on a GPU by default.
            tensor_parallel: GPUs that share each layer.
            gpu_memory_utilization: share of a GPU's memory for weights and cache together.

        Raises:
            ModelError: vLLM cannot load the model.
        """
        self.identity: ModelIdentity = model.identity
        self._process = VllmProcess(
            model,
            runner="generate",
            trust_remote_code=trust_remote_code,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            kv_cache_gib=kv_cache_gib,
            tensor_parallel=tensor_parallel,
            gpu_memory_utilization=gpu_memory_utilization,
        )

    def complete(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Progress = no_progress
    ) -> list[Completion]:
        """Completions in the order of `requests`; see CompletionEngine."""
        check_completions(requests, sampling, vocab=self._process.vocab, context=self._process.context)
        with vllm_errors(EngineError, "vLLM cannot sample so"):
            params = [_params(request, sampling) for request in requests]
        outputs = self._process.run(
            [request.token_ids for request in requests],
            params,
            lambda output: progress(1, len(output.outputs[0].token_ids)),
        )
        return [_completion(request, output) for request, output in zip(requests, outputs, strict=True)]

    def close(self) -> None:
        """Free the model. There is no other process to end."""
        self._process.close()


def _params(request: CompletionRequest, sampling: Sampling) -> Any:
    """Every parameter that matters is named: what is left out, the model's generation_config decides."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=1,
        temperature=sampling.temperature,
        top_p=sampling.top_p if sampling.temperature > 0 else 1.0,
        top_k=sampling.top_k if sampling.temperature > 0 else 0,
        min_p=sampling.min_p if sampling.temperature > 0 else 0.0,
        repetition_penalty=1.0,
        seed=request.seed,
        max_tokens=request.max_tokens,
        stop_token_ids=list(sampling.stop_token_ids),
        # Otherwise the checkpoint's own list of end tokens ends a completion too, and it has no EOT.
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(request: CompletionRequest, output: Any) -> Completion:
    answer = output.outputs[0]
    if answer.finish_reason not in ("stop", "length"):
        message = f"vLLM ended request {request.request_id} with {answer.finish_reason!r}, expected stop or length"
        raise EngineError(message)
    return Completion(request.request_id, list(answer.token_ids), answer.finish_reason, output.num_cached_tokens)
