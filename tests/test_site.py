"""The parts of the documentation's site that no Markdown holds (docs/hooks.py). `.ci/run` builds the site itself."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")


@pytest.fixture
def hooks():
    path = Path(__file__).resolve().parents[1] / "docs" / "hooks.py"
    spec = importlib.util.spec_from_file_location("docs_hooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name, text",
    [
        ("page.html", '<img src="https://elsewhere.org/a.png">'),
        ("page.html", '<script src="//elsewhere.org/a.js"></script>'),
        ("page.html", '<link rel="stylesheet" href="http://elsewhere.org/a.css">'),
        ("style.css", "@import 'https://elsewhere.org/a.css';"),
        ("style.css", 'body { background: url("//elsewhere.org/a.png") }'),
    ],
)
def test_a_page_that_loads_from_elsewhere_ends_the_build(hooks, tmp_path, name, text):
    from mkdocs.exceptions import PluginError

    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(PluginError, match=f"{name} would load from elsewhere: .*elsewhere.org"):
        hooks.on_post_build({"site_dir": str(tmp_path), "site_url": None})


def test_links_and_own_files_are_let_through(hooks, tmp_path):
    page = '<a href="https://arxiv.org">paper</a><img src="images/a.png"><img src="data:image/png;base64,AA==">'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "style.css").write_text("body { background: url(a.png) }", encoding="utf-8")
    hooks.on_post_build({"site_dir": str(tmp_path), "site_url": None})


def test_a_served_page_may_name_its_own_address(hooks, tmp_path):
    own = "http://127.0.0.1:8000/"
    (tmp_path / "page.html").write_text(f'<link rel="canonical" href="{own}page/">', encoding="utf-8")
    hooks.on_post_build({"site_dir": str(tmp_path), "site_url": own})


def test_the_reference_has_every_command_with_its_options(hooks):
    from typer.main import get_command

    from allcnn_cli.main import app

    sections = hooks.commands().split("## allcnn ")[1:]
    commands = get_command(app).commands
    assert [section.split()[0] for section in sections] == list(commands)
    for section, command in zip(sections, commands.values(), strict=True):
        assert f"```sh\nallcnn {command.name}" in section and "[/]" not in section
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or f"| `{parameter.opts[0]}" in section
