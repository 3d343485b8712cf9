"""Lets tools that predate pyproject.toml install lipot; every setting is in pyproject.toml."""

from setuptools import setup

setup()
