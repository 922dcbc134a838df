#!/usr/bin/env python3
"""Django's command line for the shop: python3 manage.py migrate, test, check, runserver."""
import multiprocessing
import os
import sys

from django.core.management import execute_from_command_line

# Processes that tests are run in may import this file, too.
if __name__ == "__main__":
    # `test --parallel` knows fork and spawn; from Python 3.14 on forkserver is what one gets otherwise.
    multiprocessing.set_start_method("fork")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    execute_from_command_line(sys.argv)
