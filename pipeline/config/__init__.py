"""Configuration: YAML and flags are parsed once, here, into typed models; nothing below sees a raw mapping.

From the bottom up; every module imports only modules above it in this list:

    text        YAML as people mean it
    model       what can be written
    problems    errors as people read them
    references  ${NAME} and ${file:PATH} in settings
    load        files and flags
    effective   the configuration in force
    build       parts and plan
"""
