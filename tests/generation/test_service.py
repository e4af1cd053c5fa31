"""Servers that refuse, fail or cost money; and work that is interrupted and goes on."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.generation.conftest import Generate
from tests.support.language_server import (
    KEY,
    LanguageServer,
    Reply,
    good_maker,
    language_server,
)
from tests.support.made_rows import assert_all_valid, file_of, journal, kept, record
from tests.support.nhm import NHM, environment


def test_too_many_requests_are_waited_for_as_long_as_the_server_says(home: Path, generate: Generate):
    """The server measures by its own clock. The packages' own delay before the first retry is half a second at most."""
    maker, asked_at = good_maker(), list[float]()

    def answer(model: str, text: str) -> Reply:
        asked_at.append(time.monotonic())
        if asked_at[-1] < asked_at[0] + 1:
            return Reply("slow down", status=429, headers={"Retry-After": "1"})
        return maker(model, text)

    with language_server(answer) as server:
        done = generate(server, 5)
    assert done.exit_code == 0, done.output
    assert [moment for moment in asked_at[1:] if moment < asked_at[0] + 1] == [], "nobody comes too early"
    assert len(server.asked) - record(home)["requests"] == 1
    assert_all_valid(home, 5)


@pytest.mark.parametrize(
    ("status", "says"),
    [(429, "answered 429"), (503, "answered 503"), (401, "refuses the key (401)"), (404, "is not there (404")],
)
def test_what_the_server_refuses_for_good_is_named_without_the_key_and_earlier_rows_are_kept(
    home: Path, generate: Generate, status: int, says: str
):
    maker = good_maker()
    answers = iter(range(2))

    def answer(model: str, text: str) -> Reply:
        refused = Reply(f"key {KEY} is bad", status=status, headers={"Retry-After": "0.01"})
        return maker(model, text) if next(answers, None) == 0 else refused

    with language_server(answer) as server:
        done = generate(server, 10, llm_retries=1)
    assert done.exit_code == 1
    assert says in done.output
    assert KEY not in done.output
    assert "Traceback" not in done.output
    assert 0 < len(assert_all_valid(home, len(kept(home)))) <= 5


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "3600"}, {"Retry-After": "Wed, 01 Jan 2200 00:00:00 GMT"}, {"Retry-After-Ms": "1e9"}]
)
def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(generate: Generate, headers: dict[str, str]):
    with language_server(lambda *_: Reply("later", status=429, headers=headers)) as server:
        done = generate(server, 5, llm_retries=2)
    assert done.exit_code == 1
    assert "answered 429, after up to 2 retries" in done.output
    assert len(server.asked) == 1


def test_what_the_packages_find_in_the_environment_is_not_sent(generate: Generate, monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "of-another")
    for name in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.setenv(name, "authorization: of-another\nX-Api-Key: of-another\nCookie: of-another")
    with language_server(good_maker()) as server:
        assert generate(server, 5).exit_code == 0
    assert server.headers
    assert "of-another" not in str(server.headers)
    assert all(KEY in str(headers) for headers in server.headers)


def test_an_answer_that_does_not_end_in_time_is_given_up(generate: Generate):
    """Each space comes in time, and the answer after eight seconds."""
    with language_server(lambda *_: Reply({"rows": []}, before=400)) as server:
        done = generate(server, 5, llm_retries=1, llm_timeout_s=1)
    assert done.exit_code == 1
    assert "did not answer within 1 s, or cannot be reached, after 1 retries" in done.output
    assert len(server.asked) == 2


def test_a_server_that_is_not_there_is_named(generate: Generate):
    done = generate(LanguageServer("http://127.0.0.1:9", good_maker()), 5, llm_retries=0)
    assert done.exit_code == 1
    assert "the model maker at 127.0.0.1:9 did not answer" in done.output


def test_what_speaks_another_protocol_is_named(generate: Generate):
    with language_server(good_maker()) as server:
        done = generate(server, 5, llm_base_url=f"{server.address}/elsewhere", llm_retries=0)
    assert done.exit_code == 1
    assert "127.0.0.1" in done.output


def test_no_more_is_spent_than_allowed_and_a_higher_cap_goes_on(home: Path, generate: Generate):
    """An answer is paid as the server counts it; a question is asked only if its worst case can still be paid."""
    costly = Reply({"rows": []}, usage=(5_000, 7_000))

    def answer(model: str, text: str) -> Reply:
        return Reply(maker(model, text).content, usage=costly.usage)

    maker = good_maker()
    with language_server(answer) as server:
        first = generate(server, 40, llm_max_cost=0.06)
        spent = record(home)["spent"]["cost"]
        assert first.exit_code == 3
        assert "LLM_MAX_COST (0.06)" in first.output
        assert 0.03 < spent <= 0.06
        rows = assert_all_valid(home, len(kept(home)))
        assert 0 < len(rows) < 40
        asked = len(server.asked)
        assert generate(server, 40, llm_max_cost=0.06).exit_code == 3
        assert len(server.asked) == asked, "what was spent before counts"
        assert generate(server, 40, llm_max_cost=5).exit_code == 0
    assert_all_valid(home, 40)
    assert record(home)["spent"]["cost"] == pytest.approx(len(server.asked) * 0.019)


def test_a_server_that_does_not_count_tokens_is_counted_as_the_most_it_can_be(home: Path, generate: Generate):
    maker = good_maker()
    with language_server(lambda model, text: Reply(maker(model, text).content, usage=None)) as server:
        assert generate(server, 5).exit_code == 0
    assert record(home)["spent"]["output_tokens"] >= 5 * 1500


USAGE = {
    "openai": {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15},
    "anthropic": {"input_tokens": 7, "output_tokens": 8},
}


@pytest.mark.parametrize("usage", ["counted", "none", "text", "negative"])
def test_an_answer_of_another_shape_ends_the_work_and_is_counted(
    home: Path, generate: Generate, provider: str, usage: str
):
    """As the server counts it; where that is no number, as the most that it can be."""
    strange = {"text": "many", "negative": -7}
    counts = None if usage == "none" else {name: strange.get(usage, count) for name, count in USAGE[provider].items()}
    # A server that pretends to speak the protocol, but answers nothing.
    whole = {"id": "1", "choices": [], "content": None, "usage": counts}
    with language_server(lambda *_: Reply("", whole=whole)) as server:
        done = generate(server, 5)
    assert done.exit_code == 1
    assert f"answered what is not of the {provider} protocol" in done.output
    (spent,) = (line for line in journal(home) if line["kind"] == "spent")
    assert spent["output_tokens"] == (8 if usage == "counted" else 5 * 1500)


def test_a_journal_of_other_work_is_refused_and_a_torn_line_is_cut_off(home: Path, generate: Generate):
    with language_server(good_maker()) as server:
        assert generate(server, 5).exit_code == 0
        path = file_of(home).with_suffix(".jsonl")
        whole = path.read_text()
        path.write_text(whole + '{"kind": "done", "rows": [{"pl')
        assert generate(server, 8).exit_code == 0
        assert path.read_text().startswith(whole)
        assert_all_valid(home, 8)
        refused = generate(server, 9, "--seed", "1")
        assert refused.exit_code == 2
        assert "was begun with another seed" in refused.output
        path.write_text(path.read_text() + "[]\n")
        damaged = generate(server, 9)
        assert (damaged.exit_code, "is damaged" in damaged.output) == (1, True)


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize("provider", ["openai"])
def test_a_kill_in_the_middle_loses_no_row_and_forgets_no_cost(home: Path, generate: Generate, provider: str):
    """Killed while the third answer is on its way, and run again: no row is lost, doubled or invalid."""
    maker, reached, go_on = good_maker(), threading.Event(), threading.Event()

    def answer(model: str, text: str) -> Reply:
        if len(server.asked) == 3:
            reached.set()
            go_on.wait(60)
        return maker(model, text)

    with language_server(answer) as server:
        command = [NHM, "generate", "--specialist", "technical", "--count", "20", "--out", home / "made"]
        process = subprocess.Popen(command, env=environment(**server.settings(provider, nhm_home=home)))
        assert reached.wait(60)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        go_on.set()
        before = kept(home)
        assert 0 < len(before) <= 10
        assert not file_of(home).exists()
        done = generate(server, 20)
    assert done.exit_code == 0, done.output
    assert kept(home)[: len(before)] == before
    assert_all_valid(home, 20)
    assert record(home)["spent"]["input_tokens"] == 1000 * (len(server.asked) - 1), "the killed one was not answered"


def test_a_second_command_on_the_same_files_is_refused(home: Path, generate: Generate):
    from filelock import FileLock

    (home / "made").mkdir()
    with language_server(good_maker()) as server, FileLock(file_of(home).with_suffix(".lock")):
        done = generate(server, 5)
    assert done.exit_code == 2
    assert "another nhm generate is writing" in done.output
