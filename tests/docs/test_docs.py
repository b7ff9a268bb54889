"""The documentation names what the code has: metrics, reasons, files, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from trimtab.core import reasons
from trimtab.engine import metrics
from trimtab.gates import metrics as gate_metrics

ROOT = Path(__file__).parents[2]
ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
FOLDERS = ("docs", "examples", "benchmarks", "tests", "operator")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    for target, anchor in ANCHOR.findall(page.read_text()):
        if "://" in target:
            continue
        headings = re.findall(
            r"^#+ (.+)$", (page.parent / target if target else page).read_text(), re.MULTILINE
        )
        assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_path_of_somebodys_machine(page: Path) -> None:
    assert not re.search(r"(/home/|/root/|/work/|/Users/)", page.read_text())


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for metric in [*vars(metrics).values(), *vars(gate_metrics).values()]:
        if isinstance(metric, MetricWrapperBase):
            name = next(iter(metric.describe())).name
            suffix = "_total" if metric._type == "counter" else ""
            assert f"`{name}{suffix}`" in text


def test_every_reason_is_documented_with_what_to_do() -> None:
    text = (ROOT / "docs" / "reasons.md").read_text()
    named = {value for name, value in vars(reasons).items() if name.isupper()}
    rows = set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
    assert rows == named


def test_each_decision_record_has_a_number_and_the_three_sections() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [record.name[:3] for record in records]
    assert len(numbers) == len(set(numbers))

    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {record.name[:3]}: ")
        assert list(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == [
            "Context",
            "Decision",
            "Consequences",
        ]


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert named
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
