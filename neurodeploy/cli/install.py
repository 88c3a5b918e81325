"""``neurodeploy install``."""

from __future__ import annotations

import click

from neurodeploy.cli.common import say


@click.group()
def install() -> None:
    """Install a backend that lives in an environment of its own."""


@install.command()
def lava() -> None:
    """Install Intel's Lava simulator (lava-nc 0.10.0) for a Python 3.10 that is found here.

    Lava needs Python 3.10 and numpy 1, so it gets a virtual environment of its own under the user's cache directory.
    Python 3.10 is looked for on the PATH, among pyenv's versions, and with uv. NEURODEPLOY_LAVA_PYTHON names another
    interpreter that has Lava.
    """
    from neurodeploy.backends.lava.install import install_lava

    python = install_lava(say)
    click.echo(str(python))


@install.command()
def xylo() -> None:
    """Install SynSense's XyloSim 0.1.3, which is compiled here and needs a C++ compiler.

    It gets a virtual environment of its own under the user's cache directory. NEURODEPLOY_XYLO_PYTHON names another
    interpreter that has it. XyloSim states no licence: ask SynSense before you pass it on. It judges the integers of
    neurodeploy.families.xylo; programs for Xylo cannot be compiled yet.
    """
    from neurodeploy.backends.xylosim.install import install_xylo

    click.echo(str(install_xylo(say)))
