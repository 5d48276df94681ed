"""Answers to files, a picture and the network.

`record` turns an answer into the result record that `jsonl` writes to a file or to standard output and `websocket`
sends to every client of its `broadcast` server. `files` holds what all sinks that write a file share. `csv` and `mot`
write tables. `annotate` draws an answer on its picture for `video`.
"""
