"""vLLM's own OpenAI server as the judge's: what we send it understands, and what it sends we read."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from scripted_judge import Counter, group, pay_at_once
from tests_support import need_vllm

from flows.annotators.judge import JudgeAnnotator
from flows.recipe.judge import JudgeConfig
from transforms.engines.starter_model import smollm2_folder

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]

CONTEXT = 1536
GROUPS = [group("The capital of France is Paris.", "Bananas are yellow.")]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    need_vllm()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm2_folder()),
        "--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager",
        "--max-model-len", str(CONTEXT), "--max-num-seqs", "8", "--no-enable-chunked-prefill", "--dtype", "float32",
    ]  # fmt: skip
    env = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}  # not most of the machine's memory
    log = tmp_path_factory.mktemp("vllm") / "log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, env=env, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True) as server,
    ):
        try:
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert server.poll() is None, log.read_text()[-3000:]
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            # The group: the server has its engine in a process of its own, which outlived it with 2.8 GiB.
            os.killpg(server.pid, signal.SIGKILL)


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def judged(url, folder, *groups, **keys):
    config = JudgeConfig(model="smollm2", url=url, max_tokens=300, timeout=240, max_concurrency=8, **keys)
    annotator = JudgeAnnotator(config, label="judge", ledger_root=str(folder))
    annotator.pay(groups, "judge", pay=pay_at_once, advance=Counter())
    return annotator, annotator.marks(groups)


def test_a_pairwise_judge_answers_in_the_schema_in_both_orders(url, tmp_path):
    annotator, [marks] = judged(url, tmp_path, *GROUPS)
    # A model of 135M is a poor judge, and may talk until it runs out of tokens; what it ends is a verdict.
    for comparison in marks.comparisons:
        assert comparison.margin in (1.0, 0.0, -1.0) or "ran out of max_tokens" in comparison.margin
    assert any(isinstance(comparison.margin, float) for comparison in marks.comparisons)
    assert annotator.spend.prompt_tokens > 2 * 300
    assert annotator.spend.tokens_generated > 10


def test_a_rubric_is_answered_with_whole_numbers_of_the_scale(url, tmp_path):
    _, [marks] = judged(url, tmp_path, *GROUPS, mode="rubric")
    rated = [values for values in marks.objectives if values is not None]
    assert rated
    assert all(value in (1, 2, 3, 4, 5) for values in rated for value in values)


def test_a_prompt_over_its_context_is_that_questions_own_error(url, tmp_path):
    long = group("Paris", "Lyon", prompt="word " * CONTEXT, prompt_id="1" * 16)
    _, [fine, refused] = judged(url, tmp_path, *GROUPS, long)
    assert any(isinstance(comparison.margin, float) for comparison in fine.comparisons)
    assert all("answered 400" in score for score in refused.scores)


def test_settings_beyond_openais_are_understood_and_a_judge_without_a_schema_is_asked_too(url, tmp_path):
    keys = {"structured": "none", "extra_body": {"chat_template_kwargs": {"x": 1}, "top_k": 1}}
    _, [marks] = judged(url, tmp_path, *GROUPS, **keys)
    assert all(isinstance(c.margin, float) or c.margin.startswith("the judge's answer") for c in marks.comparisons)
