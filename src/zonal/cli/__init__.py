"""The command line `zonal`, one module for each group of commands.

`main` imports a command's module when the command is run, so that `zonal env` does not import what `zonal drill` needs. Commands call a
running region through its operator API (`operator_api.client`); `start`, `doctor` and `engines` work without one. All commands but the
last two take `--state`, and `--json` where a program would read the output. Exit statuses: 0 done; 1 not done, or a failed drill;
2 wrong usage; 3 no region runs on the state directory; `exec` returns the status of its command.

Imports every package below it; no package imports the command line.
"""
