"""Errors that a user can do something about. Each message names the thing and says what to do."""

from nhm_assets.domain.outcomes import BrokenBy


class NhmError(Exception):
    """Base of the platform's own errors. Users see its message as it is, without a stack trace.

    Attributes:
        broken_by: recorded as the cause if this error ends a run.
        transient: whether the same step may succeed later without a fix.
    """

    broken_by = BrokenBy.CODE
    transient = False


class UsageError(NhmError):
    """The requested command, partition or setting does not exist or cannot be used."""

    broken_by = BrokenBy.REFUSED


class DataError(NhmError):
    """Documents, rows or stored files do not have the promised form."""

    broken_by = BrokenBy.DATA


class TooFewRows(DataError):
    """The rows are too few, or those of a class are, for what was asked. Only more feedback helps."""


class RegistryError(NhmError):
    """The MLflow registry holds something that must not be trusted or built on."""

    broken_by = BrokenBy.MLFLOW


class ChampionChanged(RegistryError):
    """Another version is in Production than the one that the gate compared the candidate with.

    A run that is started over evaluates the candidate again. To repeat only the promotion does not help.
    """

    transient = True


class PromotionRefused(NhmError):
    """A promotion was requested, but no recorded gate that passed allows it."""

    broken_by = BrokenBy.REFUSED


class RolloutRefused(NhmError):
    """A rollout did not start or cannot go on: somebody has to change something in the cluster first."""

    broken_by = BrokenBy.KUBERNETES


class RolloutFailed(NhmError):
    """A specialist was restarted for a version but does not serve it."""

    broken_by = BrokenBy.KUBERNETES
