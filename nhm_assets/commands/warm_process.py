"""Importing this makes a process ready to be forked for runs: it has loaded the job, and what runs import."""

import gc

from nhm_assets.commands.run_libraries import import_run_libraries
from nhm_assets.definitions import defs
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

with startup_without_gc():
    import_run_libraries(Settings.load())
    defs.resolve_job_def(JOB)
    gc.collect()
