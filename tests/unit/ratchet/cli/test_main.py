"""The bare command's own options."""

from importlib.metadata import version

from typer.testing import CliRunner

from ratchet.cli.main import app


def test_the_version_is_the_installed_packages() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"ratchet {version('ratchet-sia')}\n")
