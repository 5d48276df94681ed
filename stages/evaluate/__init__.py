"""How good is what a reader holds in its hands? Scores against labelled clips.

`truth` reads the labels, `held` says what a reader knew at each moment, `scores` compares the two, `play` runs clips,
`check` says before what is wrong, `report` shows what came out, `commands` is `framepace eval`.
"""
