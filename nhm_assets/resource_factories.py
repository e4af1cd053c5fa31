"""Resources made from settings, for the code location and for the command line alike."""

from nhm_assets.settings import Settings
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo
from resources.notifiers import Mail, Notifier, Slack, Webhook


def mongo_of(settings: Settings) -> Mongo:
    """The MongoDB that the settings name, or a mongod of this machine's own."""
    uri = settings.mongodb_uri
    return Mongo(
        uri=uri.get_secret_value() if uri else None,
        home=settings.nhm_home / "mongodb",
        database=settings.mongodb_database,
        timeout_s=settings.mongodb_timeout_s,
    )


def notifiers_of(settings: Settings) -> list[Notifier]:
    """Everybody who is told of outcomes."""
    found: list[Notifier] = []
    if url := settings.slack_webhook_url:
        found.append(Slack(url.get_secret_value(), settings.notify_timeout_s))
    if url := settings.outcome_webhook_url:
        found.append(Webhook(url.get_secret_value(), settings.notify_timeout_s))
    if settings.smtp_host and settings.mail_to:
        password = settings.smtp_password
        found.append(
            Mail(
                host=settings.smtp_host,
                port=settings.smtp_port,
                security=settings.smtp_security,
                user=settings.smtp_user,
                password=password.get_secret_value() if password else None,
                sender=settings.mail_from,
                receivers=[one.strip() for one in settings.mail_to.split(",") if one.strip()],
                timeout_s=settings.notify_timeout_s,
            )
        )
    return found


def kubernetes_of(settings: Settings) -> Kubernetes:
    """The cluster that the settings name, that of the pod this runs in, or none."""
    return Kubernetes(
        kubeconfig=settings.kubeconfig,
        in_pod=settings.kubernetes_service_host is not None,
        timeout_s=settings.kubernetes_timeout_s,
    )


def mlflow_of(settings: Settings) -> Mlflow:
    """The MLflow that the settings name, or SQLite on this machine."""
    uri = settings.mlflow_tracking_uri
    return Mlflow(
        uri=uri.get_secret_value() if uri else None,
        home=settings.nhm_home / "mlflow",
        timeout_s=settings.mlflow_timeout_s,
    )
