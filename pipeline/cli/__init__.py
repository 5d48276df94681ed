"""The command line: the only part that prints, reads the environment and sets exit codes.

From the bottom up; every module imports only modules above it in this list:

    terminal  standard error that holds up nobody
    console   prints text literally
    logs      log lines as text or JSON
    options   flags to configuration
    status    the line that is shown during a run
    summary   the report for people
    run       `framepace run`
    check     `framepace check`
    simulate  `framepace simulate`
    schema    `framepace schema`
    app       commands and exit codes
"""
