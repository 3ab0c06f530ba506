"""The command `zonal`: what a person types, one file for each group of commands.

`main` finds a command's file when it is asked for, so that `zonal env` does not pay for what `zonal drill` needs. Commands speak with a
running region through its door (`operator_api.client`); only `start`, `doctor` and `engines` work without one. All but the last two
take `--state`, and `--json` where a program would read the answer. Exit statuses: 0 done; 1 not done, or a drill that failed;
2 wrong usage; 3 no region there; `exec` hands on the status of its command.
"""
