"""The command line: the only part that prints, reads the environment and sets exit codes.

In order of use: `app` (commands and exit codes), `options` (flags to configuration), `run`, `check`, `schema`,
`status` (the live line), `summary` (the report for people).
"""
