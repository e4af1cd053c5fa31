"""`nhm dev` and `nhm mongod`: the whole platform on this machine, to try it and to look around."""

import shlex
import signal
import socket
import sys
import sysconfig
from pathlib import Path

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings, inherited_environment


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of Dagster's web UI."
)
@click.option(
    "--mlflow-port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port of the MLflow server."
)
def dev(port: int, mlflow_port: int) -> None:
    """Run MongoDB, an MLflow server, and Dagster's webserver and daemon until you press Ctrl-C.

    If MONGODB_URI or MLFLOW_TRACKING_URI is set, that server is used and none is started. Everything listens on
    127.0.0.1 only.
    """
    with startup_without_gc():
        from nhm_assets.instance.home import WORKSPACE_FILE, dagster_instance
        from nhm_assets.resource_factories import mlflow_of
        from resources.mlflow_database import require_database

        try:
            from honcho.manager import Manager
        except ImportError:
            raise UsageError("nhm dev needs the extra `local`: pip install 'nhm-assets[local]'") from None

    settings = Settings.load()
    _require_free(port, "--port")
    if settings.mlflow_tracking_uri is None:
        _require_free(mlflow_port, "--mlflow-port")
    # Create the instance before webserver and daemon open it at the same time.
    dagster_instance(settings).dispose()
    environment = inherited_environment()
    manager = Manager()
    if settings.mongodb_uri is None:
        manager.add_process("mongod", _command("nhm", "mongod"), env=environment)
    mlflow_address = mlflow_of(settings).address
    if settings.mlflow_tracking_uri is None:
        home = settings.nhm_home / "mlflow"
        # The server would make its database in place, and leave it broken if it was killed meanwhile.
        require_database(home)
        # MLflow would start eight processes for jobs that nobody uses here.
        mlflow_environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
        manager.add_process("mlflow", _mlflow_server(home, mlflow_port), env=mlflow_environment)
        mlflow_address = environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{mlflow_port}"
    environment = {"DAGSTER_URL": f"http://127.0.0.1:{port}", **environment}
    workspace = ("-w", str(settings.dagster_folder / WORKSPACE_FILE))
    web = _command("dagster-webserver", "-h", "127.0.0.1", "-p", str(port), *workspace)
    manager.add_process("webserver", web, env=environment)
    manager.add_process("daemon", _command("dagster-daemon", "run", *workspace), env=environment)
    click.echo(f"Dagster: http://127.0.0.1:{port}   MLflow: {mlflow_address}   Press Ctrl-C to stop.")
    manager.loop()
    sys.exit(manager.returncode)


def _require_free(port: int, option: str) -> None:
    """Raise if the port is in use, most likely by another `nhm dev`: there must be one daemon only."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(
                f"port {port} is in use. Stop the program that uses it, or choose another port with {option}."
            )


def _mlflow_server(home: Path, port: int) -> str:
    # Clients write artifacts to the folder themselves, so models can be read with and without this server.
    return _command(
        "mlflow",
        "server",
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
        *("--no-serve-artifacts", "--default-artifact-root", str(home / "artifacts")),
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
