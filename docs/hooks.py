"""The parts of the site that are not written by hand: mkdocs calls the functions named on_... while it builds.

The reference of the commands comes from Typer. Pages that lie outside docs/ are shown too. A page that would load
anything from another host ends the build.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
#: Files of the repository, and their places on the site.
SHOWN = {
    "RESULTS.md": "measurements.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "results/README.md": "results/README.md",
    **{f"results/{table.name}": f"results/{table.name}" for table in sorted((ROOT / "results").glob("*.csv"))},
}


def on_files(files, config):
    for source, place in SHOWN.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    place = page.file.src_uri
    if place == "reference/commands.md":
        return markdown + commands()
    for source, shown in SHOWN.items():
        markdown = markdown.replace(f"](../{source}", f"]({shown}")
        if place in SHOWN.values():
            markdown = markdown.replace(f"]({source}", f"]({shown}")
    if place == SHOWN["RESULTS.md"]:  # runs' records are in the repository only; the page says how to make them
        markdown = re.sub(r"\]\(results/[\w-]+\)", "](results/README.md)", markdown)
    return markdown.replace("](docs/", "](") if place in SHOWN.values() else markdown


def commands() -> str:
    """The help of every command, as Markdown: what it does, its examples, and its options, a table for each panel."""
    from typer.main import get_command

    from allcnn_cli.main import app

    return "\n".join(_command(name, command) for name, command in get_command(app).commands.items())


def _command(name, command) -> str:
    from rich.text import Text

    text, _, examples = command.help.partition("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines()]
    parts = [f"## allcnn {name}\n", text.strip(), "\n```sh\n" + "\n".join(lines) + "\n```"]
    panels: dict[str, list[str]] = {}
    for parameter in command.params:
        argument = parameter.param_type_name == "argument"
        heading = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else "Options")
        names = [parameter.metavar or parameter.name.upper()] if argument else parameter.opts
        said = ", ".join(names) + (f" {parameter.metavar}" if parameter.metavar and not argument else "")
        about = Text.from_markup(parameter.help).plain.replace("|", "\\|")
        if parameter.show_default and parameter.default is not None and parameter.default is not False:
            about += f" [default: {parameter.default}]"
        panels.setdefault(heading, []).append(f"| `{said}` | {about} |")
    for heading, rows in panels.items():
        parts += [f"\n| {heading} | |\n|---|---|", *rows]
    return "\n".join(parts) + "\n"


class _Loaded(HTMLParser):
    """The addresses on other hosts than its own that a page loads by itself; links that a reader follows are none."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self.own = own
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            loads = name in ("src", "srcset", "data", "poster") or (name == "href" and tag in ("link", "use", "image"))
            if loads and re.match(r"\s*(https?:)?//", value or "") and not value.startswith(self.own):
                self.addresses.append(value)


def on_post_build(config):
    site = Path(config["site_dir"])
    own = config["site_url"] or "none"  # what `mkdocs serve` links to itself
    for path in site.rglob("*.html"):
        reader = _Loaded(own)
        reader.feed(path.read_text(encoding="utf-8"))
        if reader.addresses:
            raise PluginError(f"{path.relative_to(site)} would load from elsewhere: {', '.join(reader.addresses)}")
    for path in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]*)", path.read_text(encoding="utf-8"))
        if found:
            raise PluginError(f"{path.relative_to(site)} would load from elsewhere: {', '.join(found)}")
