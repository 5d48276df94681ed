"""What can this machine do? Measures engine, parts and live runs, and says what that means.

`figures` is what comes out, `clip` makes the pictures, `engine` and `parts` measure what can be measured alone, `live`
runs the whole program, `verdict` draws the conclusions, `measure` goes through all of it, `report` prints, `commands`
is `framepace bench`.
"""
