"""fsx: random operations on files of a real mount, compared with a model byte for byte.

`model` says what a file system must do, `program` does it to a mount and compares, `run` puts
server, faults, mounts and crashes around it. `tox -e fsx -- --operations N --seed S` runs it.
"""
