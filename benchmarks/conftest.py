"""Hides from pytest the peers whose packages are in a venv of their own."""

from importlib.util import find_spec

PACKAGE_OF = {"peers/quix_streams.py": "quixstreams", "peers/bytewax_flow.py": "bytewax"}

collect_ignore = [path for path, package in PACKAGE_OF.items() if find_spec(package) is None]
