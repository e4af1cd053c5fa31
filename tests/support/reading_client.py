"""A specialist's way to use the version in Production, run as a program in the specialists' own environment.

It imports nothing of ours and nothing that a specialist does not have: it loads the version as a pyfunc, sends one
plan at a time (33 columns of doubles, in no order) and reads the answer by position. The arguments are the address of
MLflow and the name of the model; it reads plans from stdin, as a JSON list of maps, and prints what it made of each,
and what the version answers about all of them at once.
"""

import json
import platform
import random
import sys

import mlflow
import numpy as np
import pandas as pd
import sklearn

BESIDES = ("max_norm", "min_norm", "has_risk_score", "domains", "entities", "coverage", "dimension")


def frame_of(*plans: dict) -> pd.DataFrame:
    """A row per plan; one without embeddings has NaN there."""
    names = [*plans[0], *BESIDES]
    random.Random(7).shuffle(names)
    besides = dict.fromkeys(BESIDES, 1)
    rows = [[{**plan, **besides}[name] for name in names] for plan in plans]
    return pd.DataFrame(rows, columns=names).astype("float64")


def opinion(model, features: dict) -> dict:
    frame = frame_of(features)
    answer = model.predict_proba(frame) if hasattr(model, "predict_proba") else model.predict(frame)
    if isinstance(answer, pd.DataFrame):
        answer = answer.to_numpy()
    if isinstance(answer, np.ndarray) and answer.ndim == 2 and answer.shape[1] >= 2:
        confidence, risk = float(answer[0][0]), float(answer[0][1])
    else:
        confidence, risk = 0.5, 0.5
    return {
        "confidence": confidence,
        "risk": risk,
        "shape": list(np.shape(answer)),
        "values": np.ravel(answer).tolist(),
    }


def main(address: str, name: str) -> None:
    mlflow.set_tracking_uri(address)
    model = mlflow.pyfunc.load_model(f"models:/{name}/Production")
    plans = json.load(sys.stdin)
    opinions = [opinion(model, features) for features in plans]
    many = np.asarray(model.predict(frame_of(*plans)))
    versions = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": np.__version__,
        "mlflow": mlflow.__version__,
        "sklearn": sklearn.__version__,
    }
    print(json.dumps({**versions, "opinions": opinions, "many": many.tolist()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
