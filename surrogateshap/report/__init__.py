"""Results to table, JSON, CSV, Parquet, Markdown and HTML: pure functions that read nothing but the results."""

from surrogateshap.report.card import model_card
from surrogateshap.report.comparison import comparison_csv, comparison_markdown, comparison_table
from surrogateshap.report.data import COLUMNS, json_text, json_texts, parquet_bytes, to_csv, to_json, to_parquet
from surrogateshap.report.diff import diff_table
from surrogateshap.report.fidelity import fidelity_table
from surrogateshap.report.html import to_html
from surrogateshap.report.markdown import to_markdown
from surrogateshap.report.origin import Origin, ReportData
from surrogateshap.report.page import shown_names
from surrogateshap.report.runs import run_page, runs_table
from surrogateshap.report.select import UnknownGameError, first_ranks, select
from surrogateshap.report.table import game_table, overview, table

__all__ = [
    "COLUMNS",
    "Origin",
    "ReportData",
    "UnknownGameError",
    "comparison_csv",
    "comparison_markdown",
    "comparison_table",
    "diff_table",
    "fidelity_table",
    "first_ranks",
    "game_table",
    "json_text",
    "json_texts",
    "model_card",
    "overview",
    "parquet_bytes",
    "run_page",
    "runs_table",
    "select",
    "shown_names",
    "table",
    "to_csv",
    "to_html",
    "to_json",
    "to_markdown",
    "to_parquet",
]
