"""`nhm exporter`: shows Prometheus the state of the platform."""

import signal
import sys

import click

from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

_FRAMES = ("numpy", "pandas", "pyarrow", "scipy")
"""Libraries that MLflow's client imports if they are there, and that no metric needs: 90 MB. MLflow's own package
`mlflow-skinny` is the client without them."""


@click.command()
@click.option(
    "--address",
    default="0.0.0.0",  # noqa: S104 - Prometheus is elsewhere
    show_default=True,
    help="Address to listen on.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on. Default: EXPORTER_PORT (9465).")
def exporter(address: str, port: int | None) -> None:
    """Answer Prometheus at /metrics until you press Ctrl-C.

    Dagster's database, MLflow and MongoDB are read every EXPORTER_REFRESH_S seconds in the background. If one of them
    does not answer, its metrics are absent, and nhm_up says so. The platform's docs/metrics.md lists all metrics.
    """
    settings = Settings.load()
    with startup_without_gc():
        _leave_out_frames(settings)
        from nhm_assets.domain.errors import UsageError
        from nhm_assets.instance.home import dagster_instance
        from nhm_assets.monitoring.exporter import Exporter, serve
        from nhm_assets.resource_factories import mongo_of
        from nhm_assets.runs.log_lines import show_lines

    show_lines(settings)
    shown = port or settings.exporter_port
    with mongo_of(settings).held():
        metrics = Exporter.of(settings, lambda: dagster_instance(settings))
        try:
            serve(metrics, address, shown)
        except OSError as error:
            raise UsageError(
                f"the exporter cannot listen on {address}:{shown} ({error.strerror}): stop the program that uses the"
                " port, or choose another one with --port"
            ) from None
        metrics.start()
        click.echo(f"Metrics: http://{address}:{shown}/metrics")
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.pause()
        except KeyboardInterrupt:
            click.echo("stopping")
        metrics.stop()


def _leave_out_frames(settings: Settings) -> None:
    """Make the imports of these libraries fail in this process, unless MLflow reads a database by itself."""
    from nhm_assets.resource_factories import mlflow_of

    if mlflow_of(settings).address.startswith("http"):
        sys.modules.update({name: None for name in _FRAMES if name not in sys.modules})  # type: ignore[misc]
