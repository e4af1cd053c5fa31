"""SPECIALISTS_FILE: what it may say, and what an error about it says."""

import pickle
from pathlib import Path

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import FIVE, Specialist
from nhm_assets.domain.specialists_file import read_specialists

WHOLE = """
- name: data-quality
  model: dq-models
  experiment: Data quality (field)
  deployment: opinions-data-quality
  namespace: hive-two
  family: extra_trees
  thresholds: {precision: 0.8, f1: 0.75}
"""


def read(tmp_path: Path, text: str) -> tuple[Specialist, ...]:
    path = tmp_path / "specialists.yaml"
    path.write_text(text)
    return read_specialists(path)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"SPECIALISTS_FILE {tmp_path / 'specialists.yaml'}: ")
    return str(caught.value)


def test_a_specialist_has_what_the_file_says(tmp_path: Path):
    (own,) = read(tmp_path, WHOLE)
    assert own == "data-quality"
    assert (own.registered_model, own.experiment) == ("dq-models", "Data quality (field)")
    assert (own.deployment, own.namespace) == ("opinions-data-quality", "hive-two")
    assert (own.family, own.thresholds) == ("extra_trees", {"precision": 0.8, "f1": 0.75})


def test_what_is_not_given_follows_from_the_name_or_the_settings(tmp_path: Path):
    first, second = read(tmp_path, "- {name: technical}\n- name: a\n")
    assert (first.registered_model, first.experiment) == ("technical-evaluator", "technical-specialist")
    assert (second.deployment, second.namespace, second.family, second.thresholds) == (None, None, None, {})


def test_a_specialist_is_its_name_and_crosses_processes(tmp_path: Path):
    (own,) = read(tmp_path, WHOLE)
    assert (f"{own}", str(own), type(str(own))) == ("data-quality", "data-quality", str)
    assert FIVE[0] == "technical"
    assert {"technical": 1}[FIVE[0]] == 1
    there = pickle.loads(pickle.dumps(own))  # noqa: S301 - our own bytes
    assert vars(there) == vars(own)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it must be a YAML list with at least one entry, such as `- name: technical`"),
        ("[]", "it must be a YAML list"),
        ("name: technical", "it must be a YAML list"),
        ("- technical", "entry 1: it must be a map with a name, such as `name: technical`"),
        ("- model: a", "entry 1: name is missing: give 1 to 39 characters"),
        ("- name: Technical", "entry 1 (Technical): name is 'Technical', but must be 1 to 39 characters: a lower-case"),
        ("- name: a_b", "but must be 1 to 39"),
        ("- name: 9a", "but must be 1 to 39"),
        ('- name: "a\\n"', "but must be 1 to 39"),
        (f"- name: {'a' * 40}", "but must be 1 to 39"),
        ("- name: on", "name is True, but must be"),
        ("- name: 7", "name is 7, but must be"),
        ("- {name: a, modell: x}", "entry 1 (a): unknown key modell. Did you mean model?"),
        ("- {name: a, colour: x}", "unknown key colour. Known keys: name, model, experiment, deployment, namespace"),
        ("- {name: a, model: x/y}", "model is 'x/y', but must be a name without slashes, colons and quotes"),
        ("- {name: a, model: x's}", 'model is "x\'s", but must be a name without slashes, colons and quotes'),
        ("- {name: a, model: 'x\"y'}", "model is 'x\"y', but must be a name without slashes, colons and quotes"),
        ("- {name: a, deployment: My_App}", "deployment is 'My_App', but must be the name of a Deployment"),
        ("- {name: a, namespace: a.b}", "namespace is 'a.b', but must be the name of a namespace"),
        ("- {name: a, family: 7}", "family is 7, but must be a value that MODEL_FAMILY takes"),
        ("- {name: a, thresholds: 0.7}", "thresholds is 0.7, but must be a map of precision, recall and f1"),
        ("- {name: a, thresholds: {f1: 72}}", "thresholds.f1 is 72, but must be a number from 0 to 1"),
        ("- {name: a, thresholds: {f1: '0.7'}}", "thresholds.f1 is '0.7', but must be a number from 0 to 1"),
        ("- {name: a, thresholds: {f1: .nan}}", "thresholds.f1 is nan, but must be a number from 0 to 1"),
        ("- {name: a, thresholds: {recal: 1}}", "unknown key thresholds.recal. Did you mean recall?"),
        ("- name: a\n- name: a", "two specialists have the name a: give each its own"),
        ("- name: a\n- {name: b, model: a-evaluator}", "a and b have the same model, a-evaluator: give each"),
        ("- name: a\n- {name: b, experiment: a-specialist}", "a and b have the same experiment, a-specialist"),
        ("- {name: a, deployment: d}\n- {name: b, deployment: d}", "a and b have the same deployment, d"),
        ("- name: a\n  name: b", "the key name is given twice"),
        ("- name: [", "it is not valid YAML: "),
    ],
)
def test_what_cannot_be_used_is_refused_by_file_and_entry(tmp_path: Path, text: str, said: str):
    assert said in refusal(tmp_path, text)


def test_several_faults_are_named_at_once_and_hundreds_are_counted(tmp_path: Path):
    said = refusal(tmp_path, "- {name: a, colour: x}\n- name: B\n")
    assert "entry 1 (a)" in said
    assert "entry 2 (B)" in said
    said = refusal(tmp_path, "".join(f"- name: B{number}\n" for number in range(100)))
    assert "entry 5 (B4)" in said
    assert "entry 6" not in said
    assert "There are 95 more faults" in said


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"SPECIALISTS_FILE .*absent.yaml: it cannot be read \(No such file"):
        read_specialists(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match=r"it cannot be read \(Is a directory"):
        read_specialists(tmp_path)
    (tmp_path / "latin").write_bytes(b"- name: \xe9")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_specialists(tmp_path / "latin")


def test_the_same_deployment_in_two_namespaces_is_two_deployments(tmp_path: Path):
    text = "- {name: a, deployment: d, namespace: x}\n- {name: b, deployment: d, namespace: y}"
    assert len(read(tmp_path, text)) == 2
