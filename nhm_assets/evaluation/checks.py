"""The checks on `evaluation_report`: the gate, and two more that only warn.

They are check specs of the asset itself and run in its step, so nobody can materialize the report without them.
"""

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.evaluation.gate import DESCRIPTIONS
from nhm_assets.steps.asset_checks import check_specs

evaluation_report_checks = check_specs(EVALUATION_REPORT, DESCRIPTIONS)
