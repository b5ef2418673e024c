"""Text tables: the one place where they are laid out."""

from __future__ import annotations

from collections.abc import Collection


def table(head: list[str], body: list[list[str]], right: Collection[str] | None = None) -> str:
    """A Markdown table with aligned columns; `right` names those set to the right, all but the first if not given."""
    at_right = [name in right if right is not None else i > 0 for i, name in enumerate(head)]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    columns = list(zip(widths, at_right, strict=True))
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in columns]
    lines = [
        [cell.rjust(w) if r else cell.ljust(w) for cell, (w, r) in zip(row, columns, strict=True)]
        for row in [head, rule, *body]
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
