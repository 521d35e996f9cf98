"""`python -m postwren`."""

from postwren.cli.main import main

main()
