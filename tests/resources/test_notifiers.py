"""Receivers of outcomes on real sockets, and that nobody else gets to see a secret."""

import logging
import threading
import time
from collections.abc import Callable

import pytest
from apprise.plugins.slack import NotifySlack

from nhm_assets.resource_factories import notifiers_of
from nhm_assets.settings import Settings
from resources.notifiers import Notification, Notifier, notifiers_at
from tests.support.notified import USER, mail_server, receiver
from tests.support.ports import free_port
from tests.support.processes import curt_port, silent_port

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

SECRET = "s3cret-path"  # noqa: S105 - of no server
SLACK = f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{SECRET.replace('-', 'x')}azkcOXrIdevi"
TITLE = "technical, week 2026-03-01: held by f1_threshold (version 3)"
TEXT = "held\nFAILED f1_threshold: 0.61 < 0.72 & falling\nhttp://127.0.0.1:3000/runs/1"
FIELDS = {"retraining": {"version": "3", "held_by": ["f1_threshold"], "gate": {"f1_threshold": {"passed": False}}}}
HELD = Notification(TITLE, TEXT, "warning", FIELDS)


def one_at(url: str, timeout_s: float = 5) -> Notifier:
    (notifier,) = notifiers_at(url, timeout_s=timeout_s)
    return notifier


def webhook(port: int, timeout_s: float = 3) -> Notifier:
    return one_at(f"json://127.0.0.1:{port}/{SECRET}", timeout_s)


def mail(port: int) -> Notifier:
    return one_at(f"mailto://{USER}:{SECRET}@127.0.0.1:{port}?from=nhm@hive.example&to=ada@hive.example", 3)


def encrypted_mail(port: int) -> Notifier:
    return one_at(f"mailtos://{USER}:{SECRET}@127.0.0.1:{port}?from=nhm@hive.example&to=ada@hive.example&mode=ssl", 3)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch):
    """A web server in place of Slack's."""
    with receiver() as there:
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{there.port}")
        yield there


def test_a_program_gets_the_text_and_all_fields():
    with receiver() as there:
        assert webhook(there.port).send(HELD) is None
    (body,) = there.received
    assert there.paths == [f"/{SECRET}"]
    assert (body["title"], body["message"], body["type"]) == (TITLE, TEXT, "warning")
    assert body["retraining"] == FIELDS["retraining"]


def test_a_program_gets_the_fields_of_the_latest_outcome_beside_those_of_its_address():
    with receiver() as there:
        notifier = one_at(f"{there.url}?:team=hive")
        notifier.send(HELD)
        notifier.send(Notification("promoted", "all passed", "success", {"retraining": {"version": "4"}}))
    assert [(body["team"], body["retraining"]["version"]) for body in there.received] == [("hive", "3"), ("hive", "4")]


def test_slack_gets_title_and_text_and_no_markup_of_its_own(slack):
    assert one_at(SLACK).send(HELD) is None
    (body,) = slack.received
    (content,) = body["attachments"]
    assert content["title"] == TITLE
    assert "0.61 &lt; 0.72 &amp; falling" in content["text"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_counts_as_down(status: int):
    with receiver() as there:
        there.status = status
        assert f"answers {status}" in (webhook(there.port).send(HELD) or "")
    assert len(there.received) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_a_refusal_is_named_with_the_remedy_and_without_the_address(status: int):
    with receiver() as there:
        there.status = status
        fault = webhook(there.port).send(HELD)
    assert fault == f"JSON (address 1) answers {status}: check its address in NOTIFY_URLS, and its rights"


@pytest.mark.parametrize("notifier", [webhook, mail, encrypted_mail])
def test_a_silent_server_counts_as_down_after_the_timeout(notifier: Callable[[int], Notifier]):
    with silent_port() as port:
        before = time.monotonic()
        fault = notifier(port).send(HELD)
        assert time.monotonic() - before > 0.4
    assert fault
    assert SECRET not in fault


@pytest.mark.parametrize("notifier", [webhook, mail, encrypted_mail])
def test_a_server_that_hangs_up_counts_as_down(notifier: Callable[[int], Notifier]):
    with curt_port() as port:
        fault = notifier(port).send(HELD)
    assert fault
    assert SECRET not in fault


@pytest.mark.parametrize("notifier", [webhook, mail, encrypted_mail])
def test_a_port_where_nobody_listens_counts_as_down(notifier: Callable[[int], Notifier]):
    fault = notifier(free_port()).send(HELD)
    assert "cannot be reached or refuses the message: check its address in NOTIFY_URLS" in (fault or "")
    assert SECRET not in (fault or "")


def test_a_defect_of_one_plugin_is_a_fault_of_its_receiver_alone(monkeypatch: pytest.MonkeyPatch):
    with receiver() as there:
        broken, good = webhook(free_port()), webhook(there.port)

        def fail(*_: object, **__: object) -> bool:
            raise KeyError(SECRET)

        monkeypatch.setattr(broken.service, "send", fail)
        answers = {notifier.name: notifier.send(HELD) for notifier in (broken, good)}
    assert answers == {
        broken.name: "JSON (address 1) failed (KeyError): check its address in NOTIFY_URLS",
        good.name: None,
    }


def test_a_receiver_that_is_down_keeps_no_other_from_being_told(slack):
    with receiver() as refusing, receiver() as there, mail_server() as server:
        refusing.status = 500
        urls = (
            f"{refusing.url}/{SECRET} json://127.0.0.1:{free_port()}/{SECRET} {there.url}"
            f" mailto://127.0.0.1:{server.port}?from=nhm@hive.example&to=ada@hive.example {SLACK}"
        )
        answers = [notifier.send(HELD) for notifier in notifiers_at(urls, timeout_s=5)]
    assert [bool(fault) for fault in answers] == [True, True, False, False, False]
    assert [len(got) for got in (there.received, server.accepted, slack.received)] == [1, 1, 1]
    assert SECRET not in str(answers)


def test_messages_in_quick_succession_are_not_held_up(slack, monkeypatch: pytest.MonkeyPatch):
    notifier, here, pauses = one_at(SLACK), threading.current_thread(), list[float]()
    sleep = time.sleep

    def noted(seconds: float) -> None:
        if threading.current_thread() is here:
            pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    for _ in range(3):
        assert notifier.send(HELD) is None
    # As Apprise has it, at least a second passes between two of them.
    assert pauses == []


def test_without_addresses_nobody_is_told():
    assert notifiers_of(Settings()) == []


def test_addresses_are_separated_by_blanks_or_commas():
    urls = f"json://a.example, jsons://b.example/x,mailto://h.example?from=n@h.example&to=a@h.example,b@h.example\n{SLACK},"
    notifiers = notifiers_of(Settings(notify_urls=urls, notify_timeout_s=3))
    assert [notifier.label for notifier in notifiers] == [
        "JSON (address 1)",
        "JSON (address 2)",
        "E-Mail (address 3)",
        "Slack (address 4)",
    ]
    assert {notifier.service.request_timeout for notifier in notifiers} == {(3, 3)}


def test_a_timeout_in_an_address_does_not_replace_the_setting():
    assert one_at("json://a.example?rto=600&cto=600", 3).service.request_timeout == (3, 3)


def test_the_name_of_a_receiver_stays_the_same_wherever_its_address_is_in_the_list():
    first, second = notifiers_at(f"json://a.example/{SECRET} json://b.example/{SECRET}", timeout_s=1)
    again = notifiers_at(f"json://b.example/{SECRET} json://a.example/{SECRET} json://b.example/{SECRET}", timeout_s=1)
    assert [notifier.name for notifier in again] == [second.name, first.name]
    assert first.name != second.name
    assert SECRET not in first.name


@pytest.mark.parametrize("bad", [SECRET, f"https://hive.example/{SECRET}", f"json://[{SECRET}", f"foo://{SECRET}/x"])
def test_an_address_that_apprise_does_not_understand_is_refused_without_naming_it(
    bad: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValueError, match=r"^Apprise does not understand address 2: see https://appriseit") as caught:
        notifiers_at(f"json://a.example {bad}", timeout_s=1)
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text


def test_a_notifier_shows_no_secret_however_it_is_printed():
    for notifier in (one_at(SLACK), webhook(1), mail(1)):
        assert SECRET.replace("-", "x") not in f"{notifier!r} {notifier} {[notifier]}".replace("-", "x")


def test_libraries_log_no_secret(slack, caplog: pytest.LogCaptureFixture):
    """Slack's address is its password, and the libraries log addresses at level DEBUG."""
    caplog.set_level(logging.DEBUG)
    with receiver() as there, mail_server(login=True) as server:
        answers = [notifier.send(HELD) for notifier in (one_at(SLACK), webhook(there.port), mail(server.port))]
    assert [fault is None for fault in answers] == [True, True, False]
    logging.getLogger("apprise").warning("the libraries can log again")
    assert "the libraries can log again" in caplog.text
    assert SECRET.replace("-", "x") not in caplog.text.replace("-", "x")
