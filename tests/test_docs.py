"""What the documents name exists: files, links, make targets, subcommands, settings. Their lines are short."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from nhm_assets.cli import SUBCOMMANDS
from nhm_assets.domain.outcomes import GATE_CHECKS, BrokenBy, Outcome
from nhm_assets.estimators.families import FAMILIES
from nhm_assets.estimators.families.imputed import Imputed
from nhm_assets.registry.pickled_names import NUMPY_MODULES, PACKAGES, PLAIN_NAMES
from nhm_assets.settings import Settings
from nhm_assets.training.pod_limits import LARGEST_MB, MOST_MEMORY_MB, SLOWEST_MS
from tests.support.processes import ROOT

DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)
ARCHITECTURE = ROOT / "docs/architecture.md"
MODELS = ROOT / "docs/models.md"
LONGEST_LINE = 120
MOST_BYTES_OF_PICTURES = 2_000_000
OVERLAY = ROOT / "k8s/overlays/production"
"""Paths that begin with two dots are written into an overlay."""
CREATED_BY_THE_READER = {"k8s/overlays/mine", "k8s/overlays/mine/kustomization.yaml"}
OF_THE_OLD_SYSTEM = {
    "SPECIALIST_MODELS_GUIDE.md",
    "generate_training_datasets.py",
    "k8s/cronjobs/specialist-retraining-job.yaml",
    "train_all_specialists.sh",
    "validate_models_loaded.sh",
}
"""Files that the guide in Portuguese names beside those of today."""
OPERATORS_GUIDE = ROOT / "docs/pt-BR/guia-dos-especialistas.md"
FOLDERS = tuple(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".venv"))
IGNORED_FOLDERS = (".venv", ".git", ".nhm", "node_modules")


def code(text: str) -> Iterator[str]:
    """What a document shows as code: indented lines without their shell comments, and text between backticks."""
    for line in text.splitlines():
        if line.startswith("    "):
            yield line.partition("# ")[0].strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def paths(text: str) -> set[str]:
    """Files and folders of the project that a document names in its code."""
    words = {word.rstrip("/,:") for line in code(text) for word in re.split(r"[\s'\"=(),]+", line)}
    in_folder = {word for word in words if word.startswith(tuple(f"{folder}/" for folder in (*FOLDERS, "..", "../..")))}
    by_name = {word for word in words if re.fullmatch(r"[\w.-]+\.(py|md|yaml|txt|toml|env|sh)", word)}
    return in_folder | by_name | words & {"Dockerfile", "Makefile"}


def exists(path: str) -> bool:
    if path in CREATED_BY_THE_READER | OF_THE_OLD_SYSTEM or "..." in path:
        return True
    if path.startswith(".."):
        return (OVERLAY / path).exists()
    return (ROOT / path).exists() or ("/" not in path and any(found.name == path for found in project_files()))


def project_files() -> Iterator[Path]:
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(IGNORED_FOLDERS):
            yield from folder.rglob("*.*")


def missing_paths(text: str) -> list[str]:
    return sorted(path for path in paths(text) if not exists(path))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links(document: Path, text: str) -> list[str]:
    """Relative links of a document whose file or heading does not exist."""
    return [
        link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link and is_broken(document, text, link)
    ]


def is_broken(document: Path, text: str, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target.read_text() if name else text)


def unknown_make_targets(text: str) -> set[str]:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    calls = [line.split("make ", 1)[1] for line in code(text) if re.match(r"([A-Z_]+=\S+ )*make ", line)]
    return {word for call in calls for word in call.split() if re.fullmatch(r"[a-z0-9-]+", word)} - targets


def unknown_subcommands(text: str) -> set[str]:
    """Words after `nhm` that are no subcommand; `nhm_assets` and names of files are no commands."""
    called = {match for line in code(text) for match in re.findall(r"(?:^|\s)nhm ([a-z]+)\b", line)}
    return called - set(SUBCOMMANDS)


def variables(text: str) -> set[str]:
    """Words that look like environment variables."""
    return set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))


@cache
def known_variables() -> set[str]:
    """All settings, and what the code and the files of an installation name besides."""
    files = [path for folder in ("nhm_assets", "resources", "deploy", "k8s") for path in (ROOT / folder).rglob("*.*")]
    files += [ROOT / "Dockerfile", ROOT / "benchmarks" / "measuring.py"]
    texts = [path.read_text() for path in files if path.is_file() and path.suffix != ".pyc"]
    return variables("\n".join([*texts, *(name.upper() for name in Settings.model_fields)]))


def unknown_variables(text: str) -> set[str]:
    for name in OF_THE_OLD_SYSTEM:
        text = text.replace(name, "")
    return variables(text) - known_variables()


def table_terms(text: str, heading: str) -> list[str]:
    """The first column of the first table after some text, without backticks."""
    rows = text.partition(heading)[2].partition("|---")[2].splitlines()[1:]
    return [row.split("|")[1].strip().strip("`") for row in takewhile(lambda row: row.startswith("|"), rows)]


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_every_path_that_a_document_names_exists(document: Path):
    assert missing_paths(document.read_text()) == []


def test_every_relative_link_leads_somewhere(document: Path):
    assert broken_links(document, document.read_text()) == []


def test_every_make_target_and_every_subcommand_that_a_document_names_exists(document: Path):
    assert unknown_make_targets(document.read_text()) == set()
    assert unknown_subcommands(document.read_text()) == set()


def test_every_setting_that_a_document_names_exists(document: Path):
    assert unknown_variables(document.read_text()) == set()


def test_the_architecture_lists_every_room():
    rooms = {
        path.relative_to(ROOT).parts[-1] for path in (ROOT / "nhm_assets").iterdir() if (path / "__init__.py").exists()
    }
    listed = {
        term.rstrip("/").rpartition("/")[2] for term in table_terms(ARCHITECTURE.read_text(), "## Rooms and floors")
    }
    assert listed - {"settings.py", "resource_factories.py", "definitions.py"} == rooms | {"resources", "sensors"}


def test_the_architecture_lists_the_checks_that_decide():
    assert table_terms(ARCHITECTURE.read_text(), "These checks decide:") == list(GATE_CHECKS)


def test_the_families_are_listed_with_what_becomes_of_missing_values():
    table = MODELS.read_text().partition("| Missing values |")[2].partition("\n\n")[0].splitlines()
    listed = {row.split("`")[1]: row.split("|")[3].strip() for row in table if "`" in row}
    imputed = {name: isinstance(family, Imputed) for name, family in FAMILIES.items()}
    members = {name: family.ensemble for name, family in FAMILIES.items()}
    words = {(True, False): "median and a mark", (False, False): "learned", (False, True): "as its members"}
    assert listed == {name: words[imputed[name], members[name]] for name in FAMILIES}


@pytest.mark.parametrize("columns", ["| Family | technical |", "| Largest that a search tries |"])
def test_the_tables_of_measured_figures_have_every_family(columns: str):
    tables = MODELS.read_text().split(columns)[1:]
    assert tables
    assert {tuple(table_terms(columns + table, columns)) for table in tables} == {tuple(FAMILIES)}


def test_what_a_model_file_may_name_is_listed_and_how_large_and_slow_it_may_be():
    text = MODELS.read_text()
    rows = text.partition("| A model file may name | of |")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    said = [[set(re.findall(r"`([^`]+)`", cell)) for cell in row.split("|")[1:3]] for row in rows.splitlines()]
    (anything, packages), (numpy, numpy_modules), *plain = said
    assert (anything, packages, numpy, numpy_modules) == (set(), PACKAGES, set(), NUMPY_MODULES)
    by_module: dict[str, set[str]] = {}
    for names, (module,) in plain:
        by_module.setdefault(module, set()).update(names)
    assert by_module == PLAIN_NAMES
    assert f"more than {LARGEST_MB} MB" in text
    assert f"above {SLOWEST_MS} ms or {MOST_MEMORY_MB} MB" in text


def test_the_operations_list_every_outcome():
    operations = (ROOT / "docs/operations.md").read_text()
    assert table_terms(operations, "## Outcomes") == [str(outcome) for outcome in Outcome]
    assert f"`nhm/broken_by` is one of: {', '.join(BrokenBy)}." in operations


def test_every_picture_of_the_documents_is_shown_somewhere_and_all_are_small():
    shown = {name for text in DOCUMENTS for name in re.findall(r"\(images/([^)]+)\)", text.read_text())}
    pictures = list((ROOT / "docs/images").iterdir())
    assert {picture.name for picture in pictures} == shown
    assert sum(picture.stat().st_size for picture in pictures) <= MOST_BYTES_OF_PICTURES


def test_the_alerts_of_the_operators_guide_exist():
    named = set(re.findall(r"`(Specialist[A-Za-z]+|Nhm[A-Za-z]+)`", OPERATORS_GUIDE.read_text()))
    alerts = set(re.findall(r"alert: (\w+)", (ROOT / "k8s/components/monitoring/alerts.yaml").read_text()))
    assert len(named) == 3
    assert named <= alerts


def test_no_line_is_too_long(document: Path):
    too_long = [number for number, line in enumerate(document.read_text().splitlines(), 1) if len(line) > LONGEST_LINE]
    assert too_long == []


def test_documents_stand_by_themselves(document: Path):
    """Readers have the repository, and nothing that lies beside it."""
    assert "../shared" not in document.read_text()


def test_the_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


@pytest.mark.parametrize(
    "text",
    [
        "see `nhm_assets/gone.py`",
        "    kubectl apply -f k8s/jobs/gone.yaml  # a comment",
        "the file `gone.yaml`",
        "add `../../components/gone` to it",
    ],
)
def test_a_path_that_does_not_exist_is_noticed(text: str):
    assert len(missing_paths(text)) == 1


@pytest.mark.parametrize("link", ["[x](docs/gone.md)", "[x](docs/architecture.md#gone)", "# Here\n[x](#there)"])
def test_a_broken_link_is_noticed(link: str):
    assert len(broken_links(ROOT / "README.md", link)) == 1


def test_an_unknown_target_and_an_unknown_subcommand_are_noticed():
    assert unknown_make_targets("run `make everything`\n\n    make lint typos  # now") == {"everything", "typos"}
    assert unknown_subcommands("run `nhm deploy`\n\n    FORCE_RETRAIN=true nhm train") == {"deploy", "train"}


def test_an_unknown_setting_is_noticed():
    assert unknown_variables("set SMTP_PORTS, RUN_MEMORY and DAGSTER_PG_HOST") == {"SMTP_PORTS"}
