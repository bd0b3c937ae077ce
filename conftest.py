"""Plugins for every test, whichever part of the tree is asked for (`tests`, `scenarios`)."""

pytest_plugins = ["pytester", "tests.scenario_runner.plugin"]
