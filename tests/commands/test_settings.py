"""`nhm settings`: every variable is listed, and no secret is shown."""

from nhm_assets.settings import Settings
from tests.support.nhm import nhm_here


def test_settings_lists_every_variable_and_masks_secrets(home):
    done = nhm_here("settings", nhm_home=home, mongodb_uri="mongodb://nhm:s3cret@db.example/")
    assert done.returncode == 0
    assert "MIN_REAL_SAMPLES" in done.stdout
    assert "F1_THRESHOLD 0.72 decides nothing" in done.stdout
    assert "decides nothing" not in done.stderr
    assert "s3cret" not in done.stdout


def test_settings_show_no_secret(home):
    secret = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert "notify_urls" in secret
    address, webhook = "https://user:s3cret-word@host.example/", "json://user:s3cret-word@host.example/s3cret-word"
    values = {name: webhook if name == "notify_urls" else address for name in secret}
    done = nhm_here("settings", **{"nhm_home": home, **values})
    assert done.returncode == 0
    assert "NOTIFY_URLS" in done.stdout
    assert "s3cret-word" not in done.stdout.replace("\n", "")
