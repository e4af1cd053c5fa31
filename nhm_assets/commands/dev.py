"""`nhm dev` and `nhm mongod`: the whole platform on this machine, to try it and to look around."""

import shlex
import signal
import socket
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings, inherited_environment

if TYPE_CHECKING:
    from honcho.manager import Manager


_CTRL_C: Final = 128 + signal.SIGINT


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of Dagster's web UI."
)
@click.option(
    "--mlflow-port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port of the MLflow server."
)
@click.option("--exporter-port", type=click.IntRange(1, 65535), help="Port of the exporter. Default: EXPORTER_PORT.")
def dev(port: int, mlflow_port: int, exporter_port: int | None) -> None:
    """Run MongoDB, an MLflow server, Dagster's webserver and daemon, and the exporter until you press Ctrl-C.

    If MONGODB_URI or MLFLOW_TRACKING_URI is set, that server is used and none is started. Everything listens on
    127.0.0.1 only. One line is printed per run that starts or ends; what the programs print is in NHM_HOME/logs.
    """
    with startup_without_gc():
        from nhm_assets.instance.home import dagster_instance

        try:
            from honcho.manager import Manager
        except ImportError:
            raise UsageError("nhm dev needs the extra `local`: pip install 'nhm-assets[local]'") from None
        from nhm_assets.commands.dev_output import LogFiles, reported_runs
        from nhm_assets.domain.partitions import first_week

    settings = Settings.load()
    settings = settings.model_copy(update={"exporter_port": exporter_port or settings.exporter_port})
    settings = settings.model_copy(update={"first_week": _first_week(settings)})
    _require_free(port, "--port")
    _require_free(settings.exporter_port, "--exporter-port")
    if settings.mlflow_tracking_uri is None:
        _require_free(mlflow_port, "--mlflow-port")
    logs, dagster_url = settings.nhm_home / "logs", f"http://127.0.0.1:{port}"
    manager = Manager(LogFiles(logs))
    # Create the instance before webserver and daemon open it at the same time.
    with dagster_instance(settings) as instance, TemporaryDirectory(prefix="nhm-") as folder:
        mlflow_address = _add_programs(manager, settings, port, mlflow_port, Path(folder))
        click.echo(f"Dagster: {dagster_url}   MLflow: {mlflow_address}   Press Ctrl-C to stop.")
        click.echo(f"It retrains by itself: {_automatic_runs(settings)}.")
        first = first_week(settings.now(), settings.keep_weeks, settings.first_week)
        click.echo(f"The weeks begin with {first}, see FIRST_WEEK and KEEP_WEEKS.")
        click.echo(f"One line per run follows. What the programs print: {logs}")
        with reported_runs(instance, dagster_url):
            manager.loop()
    # Ctrl-C is how it is meant to end.
    sys.exit(0 if manager.returncode == _CTRL_C else manager.returncode)


def _first_week(settings: Settings) -> str:
    """FIRST_WEEK, or the week of the oldest feedback if nobody has set it."""
    from nhm_assets.domain.first_week import fitting_week
    from nhm_assets.domain.specialists import all_specialists
    from nhm_assets.feedback.seen import oldest_feedback
    from nhm_assets.resource_factories import mongo_of
    from resources.errors import ServiceError

    if "first_week" in settings.model_fields_set:
        return settings.first_week
    try:
        with mongo_of(settings).database() as database:
            oldest = oldest_feedback(database, settings, all_specialists())
    except ServiceError:
        # The steps of the runs say so, and the server may come yet.
        return settings.first_week
    return fitting_week(oldest) if oldest else settings.first_week


def _automatic_runs(settings: Settings) -> str:
    """What starts runs without a person."""
    return (
        "all specialists on Sundays at 02:00 UTC, and one specialist as soon as"
        f" {settings.volume_threshold} new feedback documents on it have arrived"
        " (try: nhm seed --add 100 --specialist technical)"
    )


def _add_programs(manager: "Manager", settings: Settings, port: int, mlflow_port: int, folder: Path) -> str:
    """Add the programs that run side by side; returns the address of MLflow. The folder is theirs until they end."""
    from nhm_assets.resource_factories import mlflow_of
    from resources.mlflow_database import require_database

    own = {"DAGSTER_URL": f"http://127.0.0.1:{port}", "FIRST_WEEK": settings.first_week}
    environment = own | inherited_environment()
    if settings.mongodb_uri is None:
        manager.add_process("mongod", _command("nhm", "mongod"), env=environment)
    mlflow_address = mlflow_of(settings).address
    if settings.mlflow_tracking_uri is None:
        home = settings.nhm_home / "mlflow"
        # The server would make its database in place, and leave it broken if it was killed meanwhile.
        require_database(home)
        # MLflow would start eight processes for jobs that nobody uses here.
        mlflow_environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
        as_json = settings.log_format == "json"
        if as_json:
            mlflow_environment["MLFLOW_CONFIGURE_LOGGING"] = "false"
        manager.add_process("mlflow", _mlflow_server(home, mlflow_port, as_json=as_json), env=mlflow_environment)
        mlflow_address = environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{mlflow_port}"
    form = ("--log-format", "json") if settings.log_format == "json" else ()
    workspace, served = _add_code_server(manager, settings, folder, form, environment)
    web = _command("dagster-webserver", "-h", "127.0.0.1", "-p", str(port), *form, *workspace)
    manager.add_process("webserver", served + web, env=environment)
    manager.add_process("daemon", served + _command("dagster-daemon", "run", *form, *workspace), env=environment)
    exporter = _command("nhm", "exporter", "--address", "127.0.0.1", "--port", str(settings.exporter_port))
    manager.add_process("exporter", exporter, env=environment)
    return mlflow_address


def _add_code_server(
    manager: "Manager", settings: Settings, folder: Path, form: tuple[str, ...], environment: dict[str, str]
) -> tuple[tuple[str, str], str]:
    """Add the code server that webserver and daemon share.

    Returns:
        Their option that names it, and what their command lines begin with: they wait until it serves. If the operator
        has changed `workspace.yaml`, that file counts, and there is no code server.
    """
    from nhm_assets.instance.home import WORKSPACE_FILE, has_own_workspace, write_workspace

    if has_own_workspace(settings):
        return ("-w", str(settings.dagster_folder / WORKSPACE_FILE)), ""
    # A path below NHM_HOME may be longer than the name of a socket can be.
    socket, workspace = folder / "code", folder / WORKSPACE_FILE
    write_workspace(workspace, socket)
    server = shlex.join([sys.executable, "-m", "nhm_assets.commands.code_server", str(socket), *form])
    manager.add_process("code", server, env=environment)
    return ("-w", str(workspace)), f"until test -S {shlex.quote(str(socket))}; do sleep 0.1; done; "


def _require_free(port: int, option: str) -> None:
    """Raise if the port is in use, most likely by another `nhm dev`: there must be one daemon only."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(
                f"port {port} is in use. Stop the program that uses it, or choose another port with {option}."
            )


def _mlflow_server(home: Path, port: int, *, as_json: bool) -> str:
    from nhm_assets.instance.home import MLFLOW_LOGS
    from resources.mlflow_database import artifact_root, database_address

    # Python programs take the form of their log lines from a file.
    form = ("--uvicorn-opts", shlex.join(["--log-config", str(MLFLOW_LOGS)])) if as_json else ()
    # Clients write artifacts to the folder themselves, so models can be read with and without this server.
    return _command(
        "mlflow",
        "server",
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database_address(home)),
        *("--no-serve-artifacts", "--default-artifact-root", artifact_root(home)),
        *form,
    )


def _command(program: str, *arguments: str) -> str:
    """The command line of a program from this Python environment."""
    return shlex.join([str(Path(sysconfig.get_path("scripts")) / program), *arguments])


@click.command()
def mongod() -> None:
    """Keep the local MongoDB running until you press Ctrl-C."""
    from nhm_assets.resource_factories import mongo_of

    settings = Settings.load()
    mongo = mongo_of(settings)
    with mongo.held():
        click.echo(f"MongoDB: {mongo.address}")
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.pause()
        except KeyboardInterrupt:
            click.echo("stopping")
