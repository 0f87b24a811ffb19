"""Set-up and tear-down that tests share are fixtures in the conftest.py of their folder, or here for all.
Plain functions and tables that tests share are modules of the package `tests`: from tests.helpers import normal."""

import signal

# Started in the background of a shell script, a process inherits that Ctrl-C is ignored; the tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)
