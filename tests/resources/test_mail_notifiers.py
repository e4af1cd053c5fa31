"""Outcomes by mail, through real mail servers."""

from pathlib import Path

import pytest

from resources.notifiers import Notification, Notifier, notifiers_at
from tests.support.notified import PASSWORD, USER, mail_server, self_signed

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

SECRET = "s3cret-path"  # noqa: S105 - of no server
ADA, BO = "ada@hive.example", "bo@hive.example"
HELD = Notification("technical, week 2026-03-01: held", "held\nFAILED f1_threshold: 0.61 < 0.72", "warning", {})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "server.pem")


def mail(
    port: int, scheme: str = "mailto", *, login: str = "", mode: str = "", to: str = f"{ADA},{BO}", timeout_s: float = 5
) -> Notifier:
    mode = f"&mode={mode}" if mode else ""
    url = f"{scheme}://{login}127.0.0.1:{port}?from=nhm@hive.example&to={to}&format=text{mode}"
    (notifier,) = notifiers_at(url, timeout_s=timeout_s)
    return notifier


def test_mail_goes_to_all_receivers_with_subject_and_text():
    with mail_server() as server:
        assert mail(server.port).send(HELD) is None
    assert [delivery.receivers for delivery in server.accepted] == [[ADA], [BO]]
    for delivery in server.accepted:
        assert delivery.mail["Subject"] == HELD.title
        assert "nhm@hive.example" in delivery.mail["From"]
        assert delivery.mail.get_content().splitlines() == HELD.text.splitlines()
        assert (delivery.encrypted, delivery.user) == (False, None)


def test_words_of_any_alphabet_survive_the_mail():
    with mail_server() as server:
        mail(server.port, to=ADA).send(Notification("Über", "Grüße ☃ — reason: „x“", "info", {}))
    assert server.accepted[0].mail["Subject"] == "Über"
    assert server.accepted[0].mail.get_content().strip() == "Grüße ☃ — reason: „x“"


def test_a_mail_that_one_receiver_got_counts_as_taken():
    """Tried again, it would reach the other receivers once more at every tick."""
    with mail_server() as server:
        server.refused = {ADA}
        assert mail(server.port).send(HELD) is None
        assert [delivery.receivers for delivery in server.accepted] == [[BO]]
        server.refused = {ADA, BO}
        assert mail(server.port).send(HELD)


def test_a_user_with_a_password_logs_in():
    with mail_server(login=True) as server:
        assert mail(server.port, login=f"{USER}:{PASSWORD}@").send(HELD) is None
    assert server.accepted[0].user == USER


@pytest.mark.parametrize("login", [f"{USER}:{SECRET}@", f"{USER}@", ""])
def test_a_refused_login_is_a_fault_without_the_password(login: str):
    with mail_server(login=True) as server:
        fault = mail(server.port, login=login, timeout_s=0.5).send(HELD)
    assert fault == (
        "E-Mail (address 1) cannot be reached or refuses the message: check its address in NOTIFY_URLS, and its rights"
    )
    assert server.accepted == []


@pytest.mark.parametrize("answer", ["451 later", "554 no, never, s3cret-path"])
def test_a_refused_mail_counts_as_not_taken(answer: str):
    with mail_server() as server:
        server.answer = answer
        fault = mail(server.port).send(HELD)
    assert fault
    assert SECRET not in fault


ENCRYPTED = pytest.mark.parametrize(("mode", "from_the_start"), [("starttls", False), ("ssl", True)])


@ENCRYPTED
def test_mail_is_encrypted_if_the_servers_certificate_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
    certificate: Path,
    mode: str,
    from_the_start: bool,  # noqa: FBT001 - a table
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate, from_the_start=from_the_start, login=True) as server:
        assert mail(server.port, "mailtos", login=f"{USER}:{PASSWORD}@", mode=mode).send(HELD) is None
    assert (server.accepted[0].encrypted, server.accepted[0].user) == (True, USER)


@ENCRYPTED
def test_an_untrusted_certificate_is_refused_before_the_login(
    certificate: Path,
    mode: str,
    from_the_start: bool,  # noqa: FBT001 - a table
):
    with mail_server(certificate, from_the_start=from_the_start, login=True) as server:
        assert mail(server.port, "mailtos", login=f"{USER}:{PASSWORD}@", mode=mode).send(HELD)
    assert server.accepted == []


def test_a_server_without_encryption_gets_nothing_in_the_clear():
    with mail_server(login=True) as server:
        assert mail(server.port, "mailtos", login=f"{USER}:{PASSWORD}@").send(HELD)
    assert server.accepted == []


@pytest.mark.parametrize("title", ["technical: broken\nBcc: eve@example.org", "technical: broken\r\n\r\nbody"])
def test_a_title_of_several_lines_adds_no_header(title: str):
    with mail_server() as server:
        assert mail(server.port, to=ADA).send(Notification(title, "text", "failure", {})) is None
    (delivery,) = server.accepted
    assert delivery.receivers == [ADA]
    assert delivery.mail["Bcc"] is None
    assert "\n" not in delivery.mail["Subject"]
