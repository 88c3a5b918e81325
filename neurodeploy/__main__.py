"""``python -m neurodeploy``."""

from neurodeploy.cli.main import main

main()
