"""What a version records that is an increment: an earlier version, frozen, and a correction of its answers."""

from nhm_assets.domain.stored_record import Record


class Increment(Record):
    """How a correction did on feedback that it was asked about before it learned it.

    Attributes:
        frozen: number of the version whose answers are corrected; it learned in full.
        feedback: how much feedback the correction has learned, each once.
        frozen_log_loss, log_loss: of the frozen version, and with the correction; natural logarithm, mean over that
            feedback. What has a probability below 0.001 counts as 0.001.
        last: how much of the newest feedback decides whether the correction is used.
        last_frozen_log_loss, last_log_loss: the same on that feedback.
        fell_back: whether the version answers as the frozen one, because the correction was worse on that feedback.
    """

    frozen: str
    feedback: int
    frozen_log_loss: float
    log_loss: float
    last: int
    last_frozen_log_loss: float
    last_log_loss: float
    fell_back: bool

    @property
    def found(self) -> str:
        """How the correction did on the newest feedback."""
        return (
            f"on the last {self.last} of {self.feedback} feedback documents, each predicted before it was learned, the"
            f" log loss is {self.last_log_loss:.3f} with the correction and {self.last_frozen_log_loss:.3f} without"
        )

    @property
    def sentence(self) -> str:
        """What was found, and what follows for the version that records it."""
        if self.fell_back:
            return f"The version answers as version {self.frozen}, without a correction: {self.found}."
        return f"Version {self.frozen} with a correction: {self.found}."
