"""SmolLM2 and a training of it: the model between and beyond them in vLLM, and the same merged by hand."""

import shutil

import pytest
from tests_support import need_vllm

from transforms.engines.interpolation import interpolated_model
from transforms.engines.models import resolve_model
from transforms.engines.protocol import CompletionRequest, Sampling
from transforms.engines.starter_model import smollm2_folder
from transforms.engines.tokenizer import load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]

WEIGHTS = (0.9, 1.1)
QUESTIONS = ("What is the capital of France?", "Write one sentence about rain.", "Count from one to ten.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """SmolLM2 moved by a fiftieth of each tensor's spread, and sums of the two by hand, tensor by tensor in float32."""
    import torch
    from safetensors.torch import load_file, save_file

    root, start = tmp_path_factory.mktemp("lines"), smollm2_folder()
    names = ("trained", *(f"by-hand-{weight}" for weight in WEIGHTS))
    made = {name: shutil.copytree(start, root / name) for name in names}
    generator = torch.Generator().manual_seed(3)
    before = load_file(start / "model.safetensors")
    after = {
        name: (t.float() + 0.02 * t.float().std() * torch.randn(t.shape, generator=generator)).bfloat16()
        for name, t in before.items()
    }
    save_file(after, made["trained"] / "model.safetensors", metadata={"format": "pt"})
    for weight in WEIGHTS:
        one, other = (torch.tensor(number, dtype=torch.float32) for number in (weight, 1 - weight))
        summed = {name: (one * after[name].float() + other * before[name].float()).bfloat16() for name in before}
        save_file(summed, made[f"by-hand-{weight}"] / "model.safetensors", metadata={"format": "pt"})
    return made


@pytest.fixture(scope="module")
def interpolated(folders, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path_factory.mktemp("cache")))
        trained, start = (resolve_model(name, engine="vllm") for name in (folders["trained"], smollm2_folder()))
        yield {weight: interpolated_model(trained, start, weight).folder for weight in WEIGHTS}


@pytest.mark.parametrize("weight", WEIGHTS)
def test_each_of_smollm2s_tensors_is_the_sum_by_hand_to_the_bit_of_bfloat16(folders, interpolated, weight):
    import torch
    from safetensors.torch import load_file

    expected, found, trained = (
        load_file(folder / "model.safetensors")
        for folder in (folders[f"by-hand-{weight}"], interpolated[weight], folders["trained"])
    )
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor.view(torch.int16), expected[name].view(torch.int16)), name
    changed = sum(not torch.equal(tensor, trained[name]) for name, tensor in found.items())
    assert changed > 200  # of 272; norms in bfloat16 hardly move


def test_vllm_samples_the_same_greedy_tokens_from_it_as_from_the_model_merged_by_hand(folders, interpolated):
    need_vllm()
    from transforms.engines.vllm_completions import VllmCompletions

    tokenizer = load_tokenizer(interpolated[1.1])
    requests = [
        CompletionRequest(
            f"r{at}",
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            ),
            0,
            0,
            24,
        )
        for at, text in enumerate(QUESTIONS)
    ]
    answers = []
    for folder in (interpolated[1.1], folders["by-hand-1.1"]):
        engine = VllmCompletions(
            resolve_model(folder, engine="vllm", dtype="float32"), max_model_len=256, kv_cache_gib=0.25
        )
        answers.append([completion.token_ids for completion in engine.complete(requests, Sampling(0.0, 1.0, (2,)))])
        engine.close()
    assert answers[0] == answers[1]
    assert "Paris" in tokenizer.decode(answers[0][0])
