"""Rows of text as a table: Markdown for reports, plain columns for the terminal.

    print(markdown_table(["clip", "error, s"], [["a_start", "0.50"], ["b_end", "-2.00"]]))

Cells are text: the caller chooses digits and units. The first column is aligned left, the others right.
"""

import pandas as pd

LEAST_WIDTH = 3   # characters of a column; Markdown's header rule needs three


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it reads as text too. Raises ValueError for a row of the wrong length."""
    cells = _cells(heads, rows).map(lambda cell: cell.replace("|", "\\|"))
    widths = cells.map(len).max().clip(lower=LEAST_WIDTH)
    first, *lines = [f"| {' | '.join(row)} |" for row in _padded(cells, widths)]
    rule = [("-" * (width - 1) + ":") if column else "-" * width for column, width in widths.items()]
    return "\n".join([first, f"| {' | '.join(rule)} |", *lines])


def text_table(heads: list[str], rows: list[list[str]]) -> str:
    """A table of plain columns, two spaces apart."""
    cells = _cells(heads, rows)
    return "\n".join("  ".join(row).rstrip() for row in _padded(cells, cells.map(len).max()))


def _cells(heads: list[str], rows: list[list[str]]) -> pd.DataFrame:
    """Head and rows as one data frame of text; its columns are numbered, because two heads may be equal."""
    if uneven := [row for row in rows if len(row) != len(heads)]:
        raise ValueError(f"row {uneven[0]}: {len(uneven[0])} cells, expected {len(heads)} for {heads}")
    return pd.DataFrame([heads, *rows], dtype=object)


def _padded(cells: pd.DataFrame, widths: pd.Series) -> list[tuple[str, ...]]:
    sides = {column: "left" if column else "right" for column in cells}   # alignment
    padded = cells.apply(lambda column: column.str.pad(widths[column.name], sides[column.name]))
    return list(padded.itertuples(index=False, name=None))
