"""Errors of the systems outside. Each message names the address, without secrets, and the remedy."""


class ServiceError(Exception):
    """Base of these errors. Its message is shown as it stands, without a stack trace.

    Attributes:
        transient: whether the same thing, tried again in a while, may succeed without anybody's help.
    """

    transient = False


class MongoUnavailable(ServiceError):
    """MongoDB cannot be reached, or went away."""

    transient = True


class MongoRefused(ServiceError):
    """MongoDB refuses the credentials, or its address cannot be used."""


class LockLost(MongoUnavailable):
    """A lock that is kept in MongoDB could not be renewed in time, so that somebody else may hold it by now."""


class MlflowUnavailable(ServiceError):
    """MLflow cannot be reached, or went away."""

    transient = True


class MlflowRefused(ServiceError):
    """MLflow refuses the credentials, or its address cannot be used."""


class IncompatibleMlflow(ServiceError):
    """The MLflow client here and the server there cannot work together."""


class StorageError(ServiceError):
    """A stored file is missing or damaged, or cannot be written."""


class EmbeddedMongoError(ServiceError):
    """The mongod of this machine cannot be started."""


class KubernetesUnavailable(ServiceError):
    """Kubernetes cannot be reached, went away, or cannot do it now."""

    transient = True


class KubernetesRefused(ServiceError):
    """Kubernetes does not allow it, does not know it, or the access to it cannot be used."""


class NotifierDown(ServiceError):
    """Slack, a mail server or a webhook does not take a message."""

    transient = True
