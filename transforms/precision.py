"""Whether this machine multiplies in bfloat16, and what a recipe's `dtype: auto` means here. Imports no torch."""

import functools
import logging
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator

Precision = Literal["bfloat16", "float32"]

# Flags of /proc/cpuinfo (x86: `flags`, ARM: `Features`) of cores with bfloat16 products. avx512f alone is none of them.
_NATIVE: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_CPU_INFO: Final = Path("/proc/cpuinfo")
_GPUS: Final = (Path("/dev"), ("nvidia[0-9]*", "kfd"))  # what drivers of NVIDIA and AMD make

logger = logging.getLogger(__name__)


def has_native_bfloat16() -> bool:
    """Whether products in bfloat16 are no slower here than those in float32: a GPU that torch can use, or such a CPU.

    Of a system that does not say (macOS, Windows) it is not known, and the answer is no.
    """
    return _finds_gpu() or bool(_NATIVE & _cpu_flags(_CPU_INFO))


def precision_here() -> Precision:
    """What `auto` means on this machine."""
    return "bfloat16" if has_native_bfloat16() else "float32"


def warn_if_slow(dtype: str, what: str) -> None:
    """Say once a process that bfloat16 is slow here.

    Measured on two AVX2 cores (AMD EPYC): 20 GFLOP/s for 145 in float32; vLLM sampled under a seventh of its tokens.

    Args:
        dtype: that is about to be computed in.
        what: computes, for the message.
    """
    if dtype == "bfloat16" and not has_native_bfloat16():
        _say_slow(what)


@functools.cache
def _say_slow(what: str) -> None:
    logger.warning(
        "%s computes in bfloat16, and this machine has no bfloat16 arithmetic: its products take up to seven times "
        "as long as those of float32. Set dtype: float32, or auto, which is what suits the machine. (Numbers of "
        "another dtype have other ids in the ledger.)",
        what,
    )


def _finds_gpu() -> bool:
    folder, names = _GPUS
    try:
        for_cpus = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        for_cpus = False
    return not for_cpus and any(found for name in names for found in folder.glob(name))


def _cpu_flags(path: Path) -> set[str]:
    """Of the first core; none where the system does not say."""
    if platform.system() != "Linux":
        return set()
    try:
        with path.open() as lines:
            return _flags(lines)
    except OSError:
        return set()


def _flags(lines: Iterable[str]) -> set[str]:
    for line in lines:
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(values.split())
    return set()


def _resolved(value: Any) -> Any:
    if value == "auto":
        return precision_here()
    if value not in ("bfloat16", "float32"):
        message = "expected auto, bfloat16 or float32"
        raise ValueError(message)
    return value


# Of a recipe: `auto` is what suits the machine that reads it, and is kept as that, since numbers depend on it.
Dtype = Annotated[Precision, BeforeValidator(_resolved, json_schema_input_type=Literal["auto", "bfloat16", "float32"])]
