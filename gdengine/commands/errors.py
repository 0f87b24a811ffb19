"""What a user can put right, said in one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..training.settings import SettingsError


@contextmanager
def preparing() -> Iterator[None]:
    """While what was asked for is read and checked, these errors are about that, and no fault in here."""
    try:
        yield
    except SettingsError:
        raise
    except (ValueError, KeyError, ImportError) as error:
        raise click.ClickException(str(error.args[0])) from None
