"""Resources from settings, for the code location and for the command line."""

from nhm_assets.settings import Settings
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo
from resources.notifiers import Notifier, notifiers_at


def mongo_of(settings: Settings) -> Mongo:
    """The configured MongoDB, or an embedded mongod."""
    uri = settings.mongodb_uri
    return Mongo(
        uri=uri.get_secret_value() if uri else None,
        home=settings.nhm_home / "mongodb",
        database=settings.mongodb_database,
        timeout_s=settings.mongodb_timeout_s,
    )


def notifiers_of(settings: Settings) -> list[Notifier]:
    """The receivers of outcomes that NOTIFY_URLS names."""
    if settings.notify_urls is None:
        return []
    return notifiers_at(settings.notify_urls.get_secret_value(), timeout_s=settings.notify_timeout_s)


def kubernetes_of(settings: Settings) -> Kubernetes:
    """The configured cluster, that of this pod, or none."""
    return Kubernetes(
        kubeconfig=settings.kubeconfig,
        in_pod=settings.kubernetes_service_host is not None,
        timeout_s=settings.kubernetes_timeout_s,
    )


def mlflow_of(settings: Settings) -> Mlflow:
    """The configured MLflow server, or SQLite on this machine."""
    uri = settings.mlflow_tracking_uri
    return Mlflow(
        uri=uri.get_secret_value() if uri else None,
        home=settings.nhm_home / "mlflow",
        timeout_s=settings.mlflow_timeout_s,
        library_is_configured=settings.mlflow_library_is_configured,
    )
