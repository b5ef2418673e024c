"""pip's entry point; all metadata is in pyproject.toml. colcon reads package.xml and CMakeLists.txt instead."""

from setuptools import setup

setup()
