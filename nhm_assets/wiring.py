"""Resources made from settings, for the code location and for the command line alike."""

from nhm_assets.settings import Settings
from resources.mlflow import Mlflow
from resources.mongo import Mongo


def mongo_of(settings: Settings) -> Mongo:
    """The MongoDB that the settings name, or a mongod of this machine's own."""
    uri = settings.mongodb_uri
    return Mongo(
        uri=uri.get_secret_value() if uri else None,
        home=settings.nhm_home / "mongodb",
        database=settings.mongodb_database,
        timeout_s=settings.mongodb_timeout_s,
    )


def mlflow_of(settings: Settings) -> Mlflow:
    """The MLflow that the settings name, or SQLite on this machine."""
    uri = settings.mlflow_tracking_uri
    return Mlflow(
        uri=uri.get_secret_value() if uri else None,
        home=settings.nhm_home / "mlflow",
        timeout_s=settings.mlflow_timeout_s,
    )
