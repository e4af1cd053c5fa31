"""A server on a socket that speaks the protocols of OpenAI and of Anthropic, and answers as a test wants.

The one thing here that is written by hand instead of started: no language model runs on a test machine.
"""

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, REAL, conform
from nhm_assets.domain.partitions import Partition
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.feedback.synthetic import synthetic_rows
from tests.support.documents import NOW, WEEK

Json = dict[str, Any]
KEY = "sk-s3cret-key"


@dataclass(frozen=True)
class Reply:
    """What the server answers.

    Attributes:
        content: the object, or a text that is meant to be one.
        status: of HTTP; with another than 200, `content` is the message of the error.
        headers: besides the usual ones.
        ended: `stop`, `refused` or `cut_off`.
        usage: tokens read and written; None: the server does not say.
        whole: the body as it is sent, instead of one by the protocol.
        before: how many spaces come before the body, one every 20 ms, as from a server that thinks.
    """

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    ended: str = "stop"
    usage: tuple[int, int] | None = (1000, 500)
    whole: Any = None
    before: int = 0


@dataclass
class LanguageServer:
    """The server, and what it was asked: model, text, and the header with the key; and all headers of each request."""

    address: str
    answer: Callable[[str, str], Reply]
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def settings(self, provider: str, **settings: object) -> dict[str, object]:
        """The settings of a program that asks it."""
        address = f"{self.address}/v1" if provider == "openai" else self.address
        known = {"llm_provider": provider, "llm_model": "maker", "llm_base_url": address, "llm_api_key": KEY}
        return {**known, "llm_input_price": 1, "llm_output_price": 2, **settings}


@contextmanager
def language_server(answer: Callable[[str, str], Reply]) -> Iterator[LanguageServer]:
    """A server that answers by this function of model and text; it may block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            openai = self.path == "/v1/chat/completions"
            assert openai or self.path == "/v1/messages", self.path
            text = sent["messages"][-1]["content"]
            key = self.headers["Authorization"] or self.headers["x-api-key"]
            server.asked.append((sent["model"], text, str(key)))
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = server.answer(sent["model"], text)
            body = (_openai if openai else _anthropic)(reply, sent)
            if reply.status != 200:
                body = {"type": "error", "error": {"type": "error", "message": reply.content}}
            content = json.dumps(body if reply.whole is None else reply.whole).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(reply.before + len(content)))
            self.end_headers()
            with suppress(ConnectionError):
                for _ in range(reply.before):
                    self.wfile.write(b" ")
                    time.sleep(0.02)
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server = LanguageServer(f"http://127.0.0.1:{http.server_address[1]}", answer)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def _openai(reply: Reply, sent: Json) -> Json:
    assert sent["response_format"]["json_schema"]["schema"]["type"] == "object"
    text = reply.content if isinstance(reply.content, str) else json.dumps(reply.content)
    refused = reply.ended == "refused"
    message = {"role": "assistant", "content": None if refused else text, "refusal": text if refused else None}
    reason = "length" if reply.ended == "cut_off" else "stop"
    found = {"id": "1", "object": "chat.completion", "created": 1, "model": sent["model"]}
    choices = [{"index": 0, "message": message, "finish_reason": reason}]
    if reply.usage is None:
        return {**found, "choices": choices}
    read, written = reply.usage
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {**found, "choices": choices, "usage": usage}


def _anthropic(reply: Reply, sent: Json) -> Json:
    (tool,) = sent["tools"]
    assert sent["tool_choice"] == {"type": "tool", "name": tool["name"]}
    content: list[Json] = [{"type": "tool_use", "id": "1", "name": tool["name"], "input": reply.content}]
    if reply.ended == "refused" or isinstance(reply.content, str):
        content = [{"type": "text", "text": str(reply.content)}]
    reason = {"refused": "refusal", "cut_off": "max_tokens"}.get(reply.ended, "tool_use")
    found = {"id": "1", "type": "message", "role": "assistant", "model": sent["model"], "content": content}
    found |= {"stop_reason": reason}
    if reply.usage is None:
        return found
    read, written = reply.usage
    return {**found, "usage": {"input_tokens": read, "output_tokens": written}}


def example(number: int, **changes: Any) -> Json:
    """A row as a good model makes it; another number is another plan."""
    draw = random.Random(number)
    plan = sample_plan(draw, f"plan-{number}", NOW)
    recommendation, _ = sample_verdict(draw, compute_features(plan), disagreement=0)
    named = ("task_id", "task_type", "description", "dependencies", "estimated_duration_ms")
    tasks = [{name: task[name] for name in named} for task in plan["tasks"]]
    scalars = ("risk_score", "complexity_score", "original_domain", "original_priority")
    return {
        "plan": {"tasks": tasks} | {name: plan[name] for name in scalars},
        "reason": "The risk decides.",
        "recommendation": recommendation,
    } | changes


def wished(text: str) -> int:
    """How many plans a question asks for."""
    return int(re.findall(r"\d+", text)[0])


def quoted_plans(text: str) -> list[Json]:
    """The plans that a judge is asked about."""
    return json.loads(text.splitlines()[2])


def good_maker() -> Callable[[str, str], Reply]:
    """A model that makes good plans, and never the same twice."""
    numbers = iter(range(1_000_000))
    return lambda _, text: Reply({"rows": [example(next(numbers)) for _ in range(wished(text))]})


def agreeing_judge(text: str, **changes: Any) -> Reply:
    """The verdicts of a judge that decides by the same rule."""
    verdicts = []
    for one in quoted_plans(text):
        recommendation, _ = sample_verdict(random.Random(0), compute_features(one["plan"]), disagreement=0)
        found = {"number": one["number"], "recommendation": recommendation, "suspicious": False}
        verdicts.append(found | changes)
    return Reply({"verdicts": verdicts})


def reviewed_rows(count: int = 400) -> pd.DataFrame:
    """Real rows of plans of the kind that the good model makes."""
    partition = Partition.parse(WEEK, "technical")
    window = partition.window(days=30, now=NOW)
    rows = synthetic_rows(partition, window, count)
    missing = dict.fromkeys(EMBEDDING_FEATURES, float("nan"))
    return conform(rows.assign(source=REAL, provenance="reviewer", split=temporal_split(rows["plan_id"]), **missing))
