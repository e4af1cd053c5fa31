"""Errors of external systems. Each message names the address, without secrets, and says what to do."""


class ServiceError(Exception):
    """Base of these errors. Users see its message as it is, without a stack trace.

    Attributes:
        broken_by: recorded as the cause if this error ends a run; a value of `BrokenBy`.
        transient: whether the same call may succeed later without a fix.
    """

    broken_by = "code"
    transient = False


class MongoUnavailable(ServiceError):
    """MongoDB cannot be reached, or the connection broke."""

    broken_by = "MongoDB"
    transient = True


class MongoSlow(ServiceError):
    """MongoDB answers, but a query took longer than it may."""

    broken_by = "MongoDB"
    transient = True


class MongoRefused(ServiceError):
    """MongoDB refuses the credentials, or its address cannot be used."""

    broken_by = "MongoDB"


class LockLost(MongoUnavailable):
    """A lock kept in MongoDB was not renewed in time: another process may hold it by now."""


class EmbeddedMongoError(ServiceError):
    """The embedded mongod cannot be started."""

    broken_by = "MongoDB"


class MlflowUnavailable(ServiceError):
    """MLflow cannot be reached, or the connection broke."""

    broken_by = "MLflow"
    transient = True


class MlflowRefused(ServiceError):
    """MLflow refuses the credentials, or its address cannot be used."""

    broken_by = "MLflow"


class IncompatibleMlflow(ServiceError):
    """This MLflow client and that MLflow server cannot work together."""

    broken_by = "MLflow"


class StorageError(ServiceError):
    """A stored file is missing or damaged, or cannot be written."""

    broken_by = "storage"


class StorageUnavailable(StorageError):
    """The store cannot be reached, is too busy, or the connection broke."""

    transient = True


class KubernetesUnavailable(ServiceError):
    """Kubernetes cannot be reached, the connection broke, or it cannot do this now."""

    broken_by = "Kubernetes"
    transient = True


class KubernetesRefused(ServiceError):
    """Kubernetes forbids the call, does not know the object, or cannot be accessed with this configuration."""

    broken_by = "Kubernetes"


class KubernetesUnknown(KubernetesRefused):
    """Kubernetes does not know the object."""


class LanguageModelUnavailable(ServiceError):
    """The server of a language model cannot be reached, or does not answer for now."""

    transient = True


class AnswerOfAnotherShape(LanguageModelUnavailable):
    """The server of a language model has answered, and may charge it, but not by the protocol.

    Attributes:
        counted: tokens read and written, as the server counted them; None where it did not.
    """

    def __init__(self, message: str, counted: tuple[int | None, int | None]) -> None:
        """With this message."""
        super().__init__(message)
        self.counted = counted


class LanguageModelRefused(ServiceError):
    """The server of a language model refuses the key, the model or the question."""


class MissingPackage(ServiceError):
    """A package of an extra is not installed."""
