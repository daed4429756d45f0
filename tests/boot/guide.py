"""The installation guide as what it says: the commands of its blocks, by heading. The test runs these and no others, so that guide and test
cannot part."""

from pathlib import Path


def blocks(page: Path, language: str) -> dict[str, list[str]]:
    """Gives the blocks of one language below each heading of second or third level."""
    found: dict[str, list[str]] = {}
    heading, block = "", None
    for line in page.read_text().splitlines():
        if block is not None:
            if line == "```":
                found.setdefault(heading, []).append("\n".join(block) + "\n")
                block = None
            else:
                block.append(line)
        elif line.startswith(("## ", "### ")):
            heading = line.lstrip("#").strip()
        elif line == f"```{language}":
            block = []
    return found
