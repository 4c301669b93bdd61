"""Settings of other people's software for a command, before any of it is imported. Imports nothing heavy."""

import os
from typing import Final

PROJECT: Final = "preference-curation"  # of runs and trainings in a tracker that sorts them by project

# No telemetry, and time for a slow disk.
ENVIRONMENT: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # The terminal shows this project's own lines; the UI gets both, with tracebacks.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,transforms,trainers",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "WANDB_PROJECT": PROJECT,  # transformers would say huggingface
    "MLFLOW_EXPERIMENT_NAME": PROJECT,
    "TQDM_DISABLE": "1",  # this project shows its own progress
    # Large tensors of a CPU in pages of 2 MiB, which the kernel gives and zeroes with a 512th of the faults.
    "THP_MEM_ALLOC_ENABLE": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # vLLM on a CPU warns of its NUMA binding at every start
}


def set_environment() -> None:
    """Set them for this process and its children, where the user has set nothing else."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
