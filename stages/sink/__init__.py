"""Answers to files, a picture and the network.

`record` turns an answer into the result record that `jsonl` writes to a file or to standard output and `websocket`
broadcasts. `text_file` holds what `jsonl`, `csv` and `mot` share. `annotate` draws an answer on its picture for
`video`.
"""
