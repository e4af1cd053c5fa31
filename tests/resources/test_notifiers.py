"""Slack, webhooks and mail, told by real sockets; and that a secret is told to nobody else."""

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.resource_factories import notifiers_of
from nhm_assets.settings import Settings
from resources.errors import NotifierDown
from resources.notifiers import Mail, Notifier, Slack, Webhook, notify
from tests.support.notified import PASSWORD, USER, mail_server, receiver, self_signed
from tests.support.ports import free_port
from tests.support.processes import curt_port, silent_port

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

SECRET = "s3cret-path"  # noqa: S105 - of no server
SUBJECT = "technical, week 2026-03-01: held by f1_threshold (version 3)"
TEXT = f"{SUBJECT}\nheld\nFAILED f1_threshold: 0.61 < 0.72 & falling\nhttp://127.0.0.1:3000/runs/1"
CONTENT = {"specialist": "technical", "held_by": ["f1_threshold"], "gate": {"f1_threshold": {"passed": False}}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "server.pem")


def mail(port: int, security: str = "none", **changes: Any) -> Mail:
    fields: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "security": security,
        "user": None,
        "password": None,
        "sender": "nhm@hive.example",
        "receivers": ["ada@hive.example", "bo@hive.example"],
        "timeout_s": 5.0,
    }
    return Mail(**(fields | changes))


def said(caught: pytest.ExceptionInfo[BaseException]) -> str:
    """All that a log would show of an error."""
    return "".join(traceback.format_exception(caught.value))


def test_slack_gets_the_subject_in_bold_and_no_markup_of_its_own():
    with receiver() as there:
        Slack(f"{there.address}/{SECRET}", 5).send(SUBJECT, TEXT, CONTENT)
    (told,) = there.told
    assert there.paths == [f"/{SECRET}"]
    assert told == {
        "text": f"*{SUBJECT}*\nheld\nFAILED f1_threshold: 0.61 &lt; 0.72 &amp; falling\nhttp://127.0.0.1:3000/runs/1"
    }


def test_a_webhook_gets_everything():
    with receiver() as there:
        Webhook(f"{there.address}/{SECRET}", 5).send(SUBJECT, TEXT, CONTENT)
    assert there.told == [{"subject": SUBJECT, "text": TEXT, **CONTENT}]


@pytest.mark.parametrize("kind", [Slack, Webhook])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_message_is_not_carried_elsewhere_and_does_not_count_as_taken(
    kind: Callable[[str, float], Notifier], status: int
):
    with receiver() as there:
        there.status = status
        with pytest.raises(NotifierDown, match=f"answers {status}"):
            kind(there.address, 5).send(SUBJECT, TEXT, CONTENT)
    assert len(there.told) == 1


@pytest.mark.parametrize("kind", [Slack, Webhook])
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_an_answer_that_refuses_is_named_with_the_remedy_and_without_the_address(
    kind: Callable[[str, float], Notifier], status: int
):
    with receiver() as there:
        there.status = status
        with pytest.raises(NotifierDown, match=f"answers {status}: check its address and its rights") as caught:
            kind(f"{there.address}/{SECRET}", 5).send(SUBJECT, TEXT, CONTENT)
    assert SECRET not in said(caught)


@pytest.mark.parametrize("kind", [Slack, Webhook])
@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/s3cret-path",
        "127.0.0.1:{port}/s3cret-path",
        "ftp://127.0.0.1/s3cret-path",
        "http://[s3cret-path",
        "http://s3cret-path.invalid/",
        "https://",
        "s3cret-path",
    ],
)
def test_who_cannot_be_reached_is_named_without_the_address(kind: Callable[[str, float], Notifier], address: str):
    with pytest.raises(NotifierDown, match=r"cannot be reached .*: check its address") as caught:
        kind(address.format(port=free_port()), 1).send(SUBJECT, TEXT, CONTENT)
    assert SECRET not in said(caught)


def web(port: int) -> Notifier:
    return Webhook(f"http://127.0.0.1:{port}/{SECRET}", 0.5)


def secured(port: int) -> Notifier:
    return mail(port, "tls", user=USER, password=SECRET, timeout_s=0.5)


def plain(port: int) -> Notifier:
    return mail(port, user=USER, password=SECRET, timeout_s=0.5)


@pytest.mark.parametrize("notifier", [web, plain, secured])
def test_a_silent_server_counts_as_down_after_the_timeout(notifier: Callable[[int], Notifier]):
    with silent_port() as port:
        before = time.monotonic()
        with pytest.raises(NotifierDown) as caught:
            notifier(port).send(SUBJECT, TEXT, CONTENT)
        assert 0.4 < time.monotonic() - before < 4
    assert SECRET not in said(caught)


@pytest.mark.parametrize("notifier", [web, plain, secured])
def test_a_server_that_hangs_up_counts_as_down(notifier: Callable[[int], Notifier]):
    with curt_port() as port, pytest.raises(NotifierDown) as caught:
        notifier(port).send(SUBJECT, TEXT, CONTENT)
    assert SECRET not in said(caught)


@pytest.mark.parametrize("notifier", [web, plain, secured])
def test_a_port_where_nobody_listens_counts_as_down(notifier: Callable[[int], Notifier]):
    with pytest.raises(NotifierDown) as caught:
        notifier(free_port()).send(SUBJECT, TEXT, CONTENT)
    assert SECRET not in said(caught)


def test_mail_goes_to_all_receivers_with_subject_and_text():
    with mail_server() as server:
        mail(server.port).send(SUBJECT, TEXT, CONTENT)
    (delivery,) = server.took
    assert delivery.receivers == ["ada@hive.example", "bo@hive.example"]
    assert delivery.mail["Subject"] == f"[nhm] {SUBJECT}"
    assert delivery.mail["From"] == "nhm@hive.example"
    assert delivery.mail["To"] == "ada@hive.example, bo@hive.example"
    assert delivery.mail.get_content().splitlines() == TEXT.splitlines()
    assert (delivery.encrypted, delivery.user) == (False, None)


def test_words_of_any_alphabet_survive_the_mail():
    with mail_server() as server:
        mail(server.port).send("Über", "Grüße ☃ — reason: „x“", {})
    assert server.took[0].mail["Subject"] == "[nhm] Über"
    assert server.took[0].mail.get_content().strip() == "Grüße ☃ — reason: „x“"


def test_a_login_is_made_where_there_is_a_user():
    with mail_server(login=True) as server:
        mail(server.port, user=USER, password=PASSWORD).send(SUBJECT, TEXT, CONTENT)
    assert server.took[0].user == USER


@pytest.mark.parametrize(("user", "password"), [(USER, SECRET), (USER, None), (None, None)])
def test_a_login_that_is_refused_is_named_without_the_password(user: str | None, password: str | None):
    with mail_server(login=True) as server:
        remedy = rf"mail: 127.0.0.1:{server.port} did not take it \(SMTP.*\): check the SMTP_ settings, MAIL_TO"
        with pytest.raises(NotifierDown, match=remedy) as caught:
            mail(server.port, user=user, password=password, timeout_s=0.5).send(SUBJECT, TEXT, CONTENT)
    assert SECRET not in said(caught)
    assert server.took == []


@pytest.mark.parametrize("answer", ["451 later", "554 no, never, s3cret-path"])
def test_a_mail_that_is_refused_counts_as_not_taken(answer: str):
    with mail_server() as server:
        server.answer = answer
        with pytest.raises(NotifierDown, match="SMTPDataError") as caught:
            mail(server.port).send(SUBJECT, TEXT, CONTENT)
    assert SECRET not in said(caught)


ENCRYPTED = pytest.mark.parametrize(("security", "from_the_start"), [("starttls", False), ("tls", True)])


@ENCRYPTED
def test_mail_is_encrypted_where_somebody_trusted_vouches_for_the_server(
    monkeypatch: pytest.MonkeyPatch,
    certificate: Path,
    security: str,
    from_the_start: bool,  # noqa: FBT001 - a table
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate, from_the_start=from_the_start, login=True) as server:
        mail(server.port, security, user=USER, password=PASSWORD).send(SUBJECT, TEXT, CONTENT)
    assert (server.took[0].encrypted, server.took[0].user) == (True, USER)


@ENCRYPTED
def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_password_is_said(
    certificate: Path,
    security: str,
    from_the_start: bool,  # noqa: FBT001 - a table
):
    with (
        mail_server(certificate, from_the_start=from_the_start, login=True) as server,
        pytest.raises(NotifierDown, match="SSLCertVerificationError") as caught,
    ):
        mail(server.port, security, user=USER, password=PASSWORD).send(SUBJECT, TEXT, CONTENT)
    assert PASSWORD not in said(caught)
    assert server.took == []


def test_a_server_without_encryption_is_not_told_in_the_clear():
    with mail_server(login=True) as server, pytest.raises(NotifierDown, match="SMTPNotSupportedError"):
        mail(server.port, "starttls", user=USER, password=PASSWORD).send(SUBJECT, TEXT, CONTENT)
    assert server.took == []


def test_a_receiver_that_is_no_address_counts_as_down():
    with mail_server() as server, pytest.raises(NotifierDown, match="MAIL_TO"):
        mail(server.port, receivers=["ada@hive.example\nBcc: eve@example.org"]).send(SUBJECT, TEXT, CONTENT)
    assert server.took == []


@pytest.mark.parametrize("subject", ["technical: broken\nBcc: eve@example.org", "technical: broken\r\n\r\nbody"])
def test_a_subject_of_several_lines_adds_no_header(subject: str):
    with mail_server() as server:
        mail(server.port).send(subject, TEXT, CONTENT)
    (delivery,) = server.took
    assert delivery.receivers == ["ada@hive.example", "bo@hive.example"]
    assert delivery.mail["Bcc"] is None
    assert "\n" not in delivery.mail["Subject"]


def test_one_who_is_down_keeps_nobody_else_from_being_told():
    with receiver() as slack, receiver() as broken, mail_server() as server:
        broken.status = 500
        down, refused = Webhook(f"{broken.address}/{SECRET}", 5), Slack(f"http://127.0.0.1:{free_port()}/{SECRET}", 5)
        all_of_them = [
            down,
            Slack(refused.url, 5, name="another Slack"),
            mail(server.port),
            Slack(slack.address, 5),
        ]
        answers = notify(all_of_them, SUBJECT, TEXT, CONTENT)
    assert answers["mail"] is None
    assert answers["Slack"] is None
    assert "answers 500" in answers["webhook"]
    assert "another Slack: cannot be reached" in answers["another Slack"]
    assert (len(slack.told), len(server.took)) == (1, 1)
    assert SECRET not in str(answers)


def configured(**changes: Any) -> list[Notifier]:
    return notifiers_of(Settings(**changes))


def test_nobody_is_told_unless_configured():
    assert configured() == []
    assert configured(smtp_host="mail.hive.example") == []
    assert configured(mail_to="ada@hive.example") == []


def test_those_are_told_who_are_configured():
    notifiers = configured(
        slack_webhook_url=f"https://hooks.example/{SECRET}",
        outcome_webhook_url=f"https://hive.example/{SECRET}",
        smtp_host="mail.hive.example",
        smtp_user=USER,
        smtp_password=SECRET,
        mail_to=" ada@hive.example , bo@hive.example,",
        notify_timeout_s=3,
    )
    assert [one.name for one in notifiers] == ["Slack", "webhook", "mail"]
    last = notifiers[-1]
    assert isinstance(last, Mail)
    assert last.receivers == ["ada@hive.example", "bo@hive.example"]
    assert (last.security, last.port, last.timeout_s, last.password) == ("starttls", 587, 3, SECRET)


def test_a_notifier_shows_no_secret_however_it_is_printed():
    for one in (Slack(f"https://hooks.example/{SECRET}", 1), web(1), plain(1)):
        assert SECRET not in f"{one!r} {one} {[one]}"


def test_libraries_log_no_secret(caplog: pytest.LogCaptureFixture):
    """Slack's address is its password, and the library that posts logs paths where one lets it."""
    caplog.set_level(logging.DEBUG)
    with receiver() as there, mail_server(login=True) as server:
        answers = notify(
            [Slack(f"{there.address}/{SECRET}", 5), Webhook(f"{there.address}/{SECRET}", 5), plain(server.port)],
            SUBJECT,
            TEXT,
            CONTENT,
        )
    assert [name for name, fault in answers.items() if fault is None] == ["Slack", "webhook"]
    assert SECRET not in caplog.text
