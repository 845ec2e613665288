"""What the wheel holds: the engine, and in it the folders of files that it reads.

``lua`` and ``migrations`` are at the top of a checkout and within the package of an
installation, so that nothing but ``engine`` is put into site-packages.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["engine", "engine.*"], exclude=["devkit*"]),
        "engine.lua",
        "engine.lua.includes",
        "engine.migrations",
        "engine.migrations.versions",
    ],
    package_dir={"engine.lua": "lua", "engine.migrations": "migrations"},
    package_data={"": ["*.lua", "*.mako"], "engine.platform.http": ["pages/**"]},
    include_package_data=False,
)
