"""``python -m gdengine``: the same as ``gdengine``."""

from .cli import main

main(prog_name="gdengine")
