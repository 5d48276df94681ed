"""One camera, thread-free: nothing in here starts a thread, takes a lock or calls back.

- `line`: the frames that wait for their answer, in presentation order, and what is to be done about the first.
"""
