"""Commands of ``gdengine`` that stand in files of their own; `gdengine.cli` puts them together.

What takes time to import is imported inside the commands, so that ``--help`` is there at once.
"""
