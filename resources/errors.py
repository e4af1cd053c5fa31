"""Errors of the systems outside. Each message names the address, without secrets, and the remedy."""


class ServiceError(Exception):
    """Base of these errors. Its message is shown as it stands, without a stack trace."""


class MongoUnavailable(ServiceError):
    """MongoDB cannot be reached, went away, or refuses the credentials."""


class MlflowUnavailable(ServiceError):
    """MLflow cannot be reached, or went away."""


class IncompatibleMlflow(ServiceError):
    """The MLflow client here and the server there cannot work together."""


class StorageError(ServiceError):
    """A stored file is missing or damaged, or cannot be written."""


class EmbeddedMongoError(ServiceError):
    """The mongod of this machine cannot be started."""
