"""When each alert fires, when not yet, when no longer, and what must not set it off."""

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]
"""Series -> its values, one per interval, in promtool's notation: `0x4` is five times 0, `0+60x4` rises by 60."""

ONE = '{specialist="technical"}'
WEEKLY = '{kind="schedule",name="weekly_retraining_schedule",status="success"}'
SENSOR = '{kind="sensor",name="s"}'
BACKUP = '{namespace="mlflow",cronjob="nhm-backup"}'
TICK = '{kind="sensor",name="s",status="skipped"}'


@dataclass(frozen=True)
class Case:
    """When an alert fires.

    Attributes:
        quiet: when it must not fire yet, though the fault is there, or is nearly there.
        fires, resolved: when it must fire, and when no longer.
        twins: what looks similar, and must never fire.
        unit: interval of the values and of the times.
    """

    alert: str
    series: Series
    quiet: int
    fires: int
    resolved: int
    twins: Mapping[str, Series]
    unit: str = "m"


CASES = (
    Case(
        "SpecialistRetrainingJobFailed",
        {f"nhm_consecutive_broken{ONE}": "0x10 1x20 0x20", f"nhm_retry_pending{ONE}": "0x60"},
        *(15, 17, 33),
        {
            "held": {f"nhm_consecutive_broken{ONE}": "0x60", f"nhm_retry_pending{ONE}": "0x60"},
            "a retried OOM": {f"nhm_consecutive_broken{ONE}": "1x60", f"nhm_retry_pending{ONE}": "1x60"},
            "the retry came two minutes later": {
                f"nhm_consecutive_broken{ONE}": "1x60",
                f"nhm_retry_pending{ONE}": "0x2 1x60",
            },
            "another specialist is retried": {
                f"nhm_consecutive_broken{ONE}": "0x60",
                'nhm_retry_pending{specialist="business"}': "0x60",
            },
        },
    ),
    Case(
        "SpecialistRetrainingJobTookTooLong",
        {f"nhm_run_start_timestamp_seconds{ONE}": "0x150 stale"},
        *(120, 123, 152),
        {"two runs, one after the other": {f"nhm_run_start_timestamp_seconds{ONE}": "0x100 6060x100"}},
    ),
    Case(
        "SpecialistModelNotPromoted",
        {f"nhm_in_production{ONE}": "1x5 0x30 1x10"},
        *(15, 22, 38),
        {
            "one of them": {f"nhm_in_production{ONE}": "1x60"},
            "for a moment": {f"nhm_in_production{ONE}": "1x5 0x9 1x60"},
        },
    ),
    Case(
        "SpecialistModelOld",
        {f"nhm_production_window_end_timestamp_seconds{ONE}": "0x900 3243600x10"},
        *(840, 842, 903),
        {
            "a promotion in between": {f"nhm_production_window_end_timestamp_seconds{ONE}": "0x400 1443600x500"},
            "a young version from elsewhere": {f"nhm_production_since_timestamp_seconds{ONE}": "0x400 1443600x500"},
            "changed lately, learned long ago": {
                f"nhm_production_window_end_timestamp_seconds{ONE}": "0x800",
                f"nhm_production_since_timestamp_seconds{ONE}": "0x800",
            },
        },
        unit="h",
    ),
    Case(
        "SpecialistCandidatesBelow",
        {f"nhm_below_in_a_row{ONE}": "2x5 3x20 0x10"},
        *(9, 12, 28),
        {"the second one": {f"nhm_below_in_a_row{ONE}": "2x60"}, "uncertain": {f"nhm_below_in_a_row{ONE}": "0x60"}},
    ),
    Case(
        "SpecialistServingBelowLine",
        {f"nhm_serving_on_line{ONE}": "1x5 0x20 1x10"},
        *(9, 12, 28),
        {"it is on the line": {f"nhm_serving_on_line{ONE}": "1x60"}},
    ),
    Case(
        "SpecialistFeedbackRejected",
        {f"nhm_rejected_feedback_ratio{ONE}": "0.04x5 0.08x20 0.05x20", "nhm_rejected_threshold_ratio": "0.05x60"},
        *(9, 12, 28),
        {
            "as much as is allowed": {
                f"nhm_rejected_feedback_ratio{ONE}": "0.05x60",
                "nhm_rejected_threshold_ratio": "0.05x60",
            },
            "another limit": {f"nhm_rejected_feedback_ratio{ONE}": "0.08x60", "nhm_rejected_threshold_ratio": "0.1x60"},
        },
    ),
    Case(
        "SpecialistFeedbackScripted",
        {f"nhm_scripted_feedback_ratio{ONE}": "0.2x5 0.6x20 0.5x10"},
        *(9, 12, 28),
        {"half of it": {f"nhm_scripted_feedback_ratio{ONE}": "0.5x60"}},
    ),
    Case(
        "SpecialistModelMovedByOthers",
        {f"nhm_foreign_moves{ONE}": "0x5 1x10 0x10"},
        *(6, 8, 17),
        {"nobody": {f"nhm_foreign_moves{ONE}": "0x60"}},
    ),
    Case(
        "SpecialistStageAndAliasDisagree",
        {f"nhm_pointer_agrees{ONE}": "1x5 0x20 1x10"},
        *(12, 17, 28),
        {"during a promotion": {f"nhm_pointer_agrees{ONE}": "1x5 0x5 1x60"}},
    ),
    Case(
        "SpecialistPromotionOpen",
        {'nhm_open_move_timestamp_seconds{specialist="technical",kind="promotion"}': "0x30 stale"},
        *(15, 17, 32),
        {
            "a rollout takes longer": {
                'nhm_open_move_timestamp_seconds{specialist="technical",kind="rollout"}': "0x60",
            },
            "one promotion after another": {
                'nhm_open_move_timestamp_seconds{specialist="technical",kind="promotion"}': "0x10 660x10",
            },
        },
    ),
    Case(
        "SpecialistRolloutDenied",
        {'nhm_rollout_pods{specialist="technical",answer="denies"}': "0x5 1x10 0x10"},
        *(6, 8, 17),
        {
            "pods that cannot be asked": {
                'nhm_rollout_pods{specialist="technical",answer="unreachable"}': "3x60",
                'nhm_rollout_pods{specialist="technical",answer="denies"}': "0x60",
                'nhm_rollout_info{specialist="technical",version="2",result="rolled out"}': "1x60",
            },
            "superseded": {'nhm_rollout_info{specialist="technical",version="2",result="superseded"}': "1x60"},
        },
    ),
    Case(
        "SpecialistRolloutDenied",
        {'nhm_rollout_info{specialist="technical",version="2",result="failed"}': "_x5 1x10 stale"},
        *(5, 8, 19),
        {"it worked": {'nhm_rollout_info{specialist="technical",version="2",result="rolled out"}': "1x60"}},
    ),
    Case(
        "NhmDaemonStale",
        {'nhm_daemon_heartbeat_timestamp_seconds{daemon="SENSOR"}': "0x8 540x4"},
        *(5, 6, 10),
        {"it lives": {'nhm_daemon_heartbeat_timestamp_seconds{daemon="SENSOR"}': "0+60x60"}},
    ),
    Case(
        "NhmDaemonMissing",
        {
            'nhm_up{source="dagster"}': "1x60",
            'nhm_daemon_heartbeat_timestamp_seconds{daemon="SCHEDULER"}': "_x19 1200+60x20",
        },
        *(9, 11, 22),
        {
            "Dagster's database is down": {'nhm_up{source="dagster"}': "0x60"},
            "it lives": {
                'nhm_up{source="dagster"}': "1x60",
                'nhm_daemon_heartbeat_timestamp_seconds{daemon="SCHEDULER"}': "0+60x60",
            },
        },
    ),
    Case(
        "NhmWeeklyTickMissed",
        {f"nhm_last_tick_timestamp_seconds{WEEKLY}": "0x200 723600x10"},
        *(192, 194, 203),
        {
            "every week": {f"nhm_last_tick_timestamp_seconds{WEEKLY}": "0x167 604800x167"},
            "another schedule": {
                'nhm_last_tick_timestamp_seconds{kind="schedule",name="retention_schedule",status="success"}': "0x300"
            },
        },
        unit="h",
    ),
    Case(
        "NhmTicksFailing",
        {f"nhm_failed_ticks{SENSOR}": "0x5 3x20 0x10"},
        *(9, 12, 28),
        {"twice": {f"nhm_failed_ticks{SENSOR}": "2x60"}, "shortly": {f"nhm_failed_ticks{SENSOR}": "0x5 4x4 0x60"}},
    ),
    Case(
        "NhmQueueStuck",
        {"nhm_oldest_queued_run_timestamp_seconds": "0x40 stale", 'nhm_runs{status="started"}': "0x60"},
        *(18, 22, 42),
        {
            "it waits for another run": {
                "nhm_oldest_queued_run_timestamp_seconds": "0x100",
                'nhm_runs{status="started"}': "1x100",
            },
            "the queue moves": {
                "nhm_oldest_queued_run_timestamp_seconds": "0+30x60",
                'nhm_runs{status="started"}': "0x12 1x60",
            },
        },
    ),
    Case(
        "NhmQueueStuck",
        {"nhm_oldest_queued_run_timestamp_seconds": "0x300 stale", 'nhm_runs{status="started"}': "2x400"},
        *(240, 247, 302),
        {
            "a run takes long": {
                "nhm_oldest_queued_run_timestamp_seconds": "0x230",
                'nhm_runs{status="started"}': "2x400",
            }
        },
    ),
    Case(
        "NhmCodeLocationBroken",
        {
            "nhm_code_location_loads": "1x10 0x19 1x20",
            'nhm_daemon_heartbeat_timestamp_seconds{daemon="SENSOR"}': "0+60x60",
        },
        *(12, 14, 33),
        {
            "the daemon is dead": {
                "nhm_code_location_loads": "0x60",
                'nhm_daemon_heartbeat_timestamp_seconds{daemon="SENSOR"}': "-300x60",
            },
            "somebody switched the sensors off": {
                'nhm_daemon_heartbeat_timestamp_seconds{daemon="SENSOR"}': "0+60x60",
            },
            "a sensor is slow": {
                "nhm_code_location_loads": "1x60",
                'nhm_daemon_heartbeat_timestamp_seconds{daemon="SENSOR"}': "0+60x60",
            },
        },
    ),
    Case(
        "NhmBackupMissing",
        {
            f"kube_cronjob_status_last_successful_time{BACKUP}": "0x2280 136800x200",
            f"kube_cronjob_created{BACKUP}": "-864000x2480",
        },
        *(2160, 2176, 2285),
        {
            "every night, some later": {
                f"kube_cronjob_status_last_successful_time{BACKUP}": "0x1500 90000x1800",
                f"kube_cronjob_created{BACKUP}": "-864000x2480",
            },
            "a new platform": {f"kube_cronjob_created{BACKUP}": "60000x2480"},
            "the CronJob of somebody else": {
                'kube_cronjob_status_last_successful_time{namespace="mlflow",cronjob="etl"}': "-864000x2480"
            },
        },
    ),
    Case(
        "NhmBackupMissing",
        {
            f"kube_cronjob_created{BACKUP}": "0x2480",
            f"kube_cronjob_status_last_successful_time{BACKUP}": "_x2280 136800x200",
        },
        *(2160, 2176, 2285),
        {"no CronJob": {"nhm_up": "1x2480"}},
    ),
    Case(
        "NhmSourceDown",
        {'nhm_up{source="mlflow"}': "1x5 0x20 1x10"},
        *(9, 12, 28),
        {"a restart": {'nhm_up{source="mlflow"}': "1x5 0x4 1x60"}},
    ),
    Case(
        "NhmExporterAbsent",
        {'nhm_up{source="mlflow"}': "1x5 stale _x14 1x10"},
        *(10, 12, 22),
        {"all sources are down": {'nhm_up{source="mlflow"}': "0x60"}},
    ),
)
