"""``python -m compare`` is ``nncompare``."""

from compare.cli import main

main()
