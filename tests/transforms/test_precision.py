"""`dtype: auto`: bfloat16 where the machine multiplies in it, float32 elsewhere, and a word where it is slow."""

import logging
import platform

import pytest
from pydantic import BaseModel, ValidationError

from flows.models import starter_reward
from flows.recipe.models import PolicyConfig, RewardConfig
from transforms import precision
from transforms.precision import Dtype, has_native_bfloat16, precision_here, warn_if_slow


class Recipe(BaseModel):
    dtype: Dtype = "bfloat16"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A Linux machine with these lines of /proc/cpuinfo and these devices, and this build of torch."""

    def build(lines, devices=(), torch="2.13.0"):
        cpu_info, folder = tmp_path / "cpuinfo", tmp_path / "dev"
        cpu_info.write_text(lines)
        folder.mkdir(exist_ok=True)
        for name in devices:
            (folder / name).touch()
        monkeypatch.setattr(platform, "system", lambda: "Linux")
        monkeypatch.setattr(precision, "_CPU_INFO", cpu_info)
        monkeypatch.setattr(precision, "_GPUS", (folder, precision._GPUS[1]))
        monkeypatch.setattr(precision, "version", lambda _: torch)
        precision._say_slow.cache_clear()

    return build


AVX2 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx avx2 fma f16c\nflags\t\t: avx512_bf16\n"
AVX512 = "flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni\n"
ZEN4 = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
SAPPHIRE = "flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd i8mm bf16 dgh\n"


@pytest.mark.parametrize(
    ("lines", "native"), [(AVX2, False), (AVX512, False), (ZEN4, True), (SAPPHIRE, True), (GRAVITON, True), ("", False)]
)
def test_a_cpu_has_bfloat16_where_its_flags_name_the_products_themselves(machine, lines, native):
    machine(lines)
    assert has_native_bfloat16() is native
    assert precision_here() == ("bfloat16" if native else "float32")


@pytest.mark.parametrize(
    ("devices", "torch", "native"),
    [
        (["nvidia0"], "2.13.0", True),
        (["kfd"], "2.13.0+rocm7", True),
        (["nvidiactl"], "2.13.0", False),  # of a driver without a card
        (["nvidia0"], "2.13.0+cpu", False),  # a card that this torch does not use
    ],
)
def test_a_gpu_counts_where_torch_can_use_it(machine, devices, torch, native):
    machine(AVX2, devices, torch)
    assert has_native_bfloat16() is native


def test_a_system_that_does_not_say_computes_in_float32(machine, monkeypatch, tmp_path):
    machine(ZEN4)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert precision_here() == "float32"
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "none")
    assert precision_here() == "float32"


def test_auto_is_kept_as_what_it_came_to_and_other_words_as_they_are(machine):
    machine(AVX2)
    assert Recipe(dtype="auto").model_dump() == {"dtype": "float32"}
    assert Recipe(dtype="bfloat16").dtype == "bfloat16"
    assert Recipe().dtype == "bfloat16"
    machine(ZEN4)
    assert Recipe(dtype="auto").model_dump() == {"dtype": "bfloat16"}
    with pytest.raises(ValidationError, match="expected auto, bfloat16 or float32"):
        Recipe(dtype="half")
    assert Recipe.model_json_schema()["properties"]["dtype"]["enum"] == ["auto", "bfloat16", "float32"]


def test_auto_asks_no_machine_where_another_one_or_vllm_decides(machine):
    machine(AVX2)
    assert PolicyConfig(model="m", dtype="auto").dtype == "float32"
    assert PolicyConfig(model="m", dtype="auto", engine="server", url="http://127.0.0.1:8000/v1").dtype == "bfloat16"
    assert RewardConfig(model="m", dtype="auto", engine="vllm", quantization="fp8").dtype == "bfloat16"


def test_bfloat16_on_a_machine_without_it_is_said_once(machine, caplog):
    machine(AVX2)
    with caplog.at_level(logging.WARNING):
        for dtype in ("float32", "bfloat16", "bfloat16"):
            warn_if_slow(dtype, "smollm2")
    (said,) = caplog.messages
    assert said.startswith("smollm2 computes in bfloat16, and this machine has no bfloat16 arithmetic")
    assert "dtype: float32, or auto" in said
    machine(ZEN4)
    caplog.clear()
    warn_if_slow("bfloat16", "smollm2")
    assert not caplog.messages


def test_the_starters_reward_model_is_another_where_it_is_made_in_float32(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path))
    made = []
    monkeypatch.setattr("trainers.rewards.fit.train_reward_model", lambda *_, config, **__: made.append(config.dtype))
    monkeypatch.setattr(starter_reward, "training_pairs", lambda *_: None)
    monkeypatch.setattr(starter_reward, "some_prompts", lambda pairs: pairs)
    folders = []
    for found in ("bfloat16", "float32"):
        monkeypatch.setattr(starter_reward, "precision_here", lambda found=found: found)
        folders.append(starter_reward.starter_reward_model(lambda: None))
    assert made == ["bfloat16", "float32"]
    assert folders[0] != folders[1]
