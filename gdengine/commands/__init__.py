"""The commands beside ``gdengine train``, a group a file; `gdengine.cli` has them under its name."""
