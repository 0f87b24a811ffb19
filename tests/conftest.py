"""Set-up and tear-down that tests share are fixtures in the conftest.py of their folder, or here for all.
Plain functions and tables that tests share are modules of the package `tests`: from tests.helpers import normal."""
