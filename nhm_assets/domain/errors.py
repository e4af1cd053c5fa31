"""Errors that a user can do something about: each message names the thing and the remedy."""


class NhmError(Exception):
    """Base of the platform's own errors. Its message is shown as it stands, without a stack trace."""


class UsageError(NhmError):
    """The command, partition or setting asked for does not exist or cannot be used."""


class DataError(NhmError):
    """Documents, rows or stored files are not what the platform was promised."""


class RegistryError(NhmError):
    """The MLflow registry holds something that must not be trusted or built on."""


class PromotionRefused(NhmError):
    """A promotion was asked for that no recorded, passed gate allows."""


class RolloutRefused(NhmError):
    """A rollout was not begun or cannot go on: somebody has to change something in the cluster first."""


class RolloutFailed(NhmError):
    """A specialist was restarted for a version, and does not serve it."""
