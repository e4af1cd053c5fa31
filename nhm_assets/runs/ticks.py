"""Whether a tick of a schedule or sensor is only a preview. A preview must write nothing."""

from dagster import ScheduleEvaluationContext, SensorEvaluationContext


def is_preview(context: ScheduleEvaluationContext | SensorEvaluationContext) -> bool:
    """Whether a person previews the tick in the UI ("Preview tick result").

    Dagster evaluates the same code then, and does not say so. But the daemon gives a tick's log the number of the tick
    as its key; for a preview Dagster makes up a key from the time (1.13.27, `sensor_definition.py`).
    """
    key = context.log_key
    return key is not None and not key[-1].isdigit()
