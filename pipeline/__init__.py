"""The engine: time, links, deadlines, books, and the command line. It knows nothing about pictures.

From the bottom up; every module imports only modules above it in this list:

    errors      what can go wrong, as one tree
    clock       the only source of now
    logs        what log lines say besides their text
    units       durations as people write them
    files       files by what they are, and whole writes
    masking     takes secrets out of what is shown
    shown       escapes for untrusted text
    frame       the counted unit, and the words for what became of it
    stage       the roles that authors fill
    timings     when things happened, for playing a run again
    registry    finds parts by name
    valve       lets through, or holds back
    link        the bounded queue between two threads
    sequencer   brings back into order
    ledger      one fate per frame
    histogram   percentiles in flat memory
    report      the summary of a run
    chrome      events as a trace in JSON
    trace       the last seconds, ready for a trace
    observe     what may be seen and changed of a run while it goes
    statistics  times of one stage
    estimator   how long a stage will take
    blame       which step made a frame miss
    admission   whether the newest picture may have the detector
    health      how the stream is doing, in one word
    limits      the deadline after capture, which may change
    intake      samples to frames, in presentation order
    heartbeat   when to say that there is nothing to say
    forecast    what a result says of another moment
    judge       what is true of a frame when it is answered
    margin      how long before a deadline to wake up
    stream      one camera, thread-free: the line of frames that wait for their answer
    publisher   the answers, in order and in time
    gate        the mailbox in front of the detector
    graph       stages and links, checked
    worker      what one thread of a run does
    delivery    answers to one sink
    feed        the capture loop, and the way back to a lost source
    watching    shows stages every picture
    live        the engine of live runs
    lossless    the engine of lossless runs
    opening     opens the parts of a plan, and closes them
    controls    what may be changed while a run goes
    reporting   the report, from what all parts counted
    observing   what observers see, from what all parts counted
    assembly    puts an engine together
    run         one execution: threads, stopping, report
    testing     for authors of stages
    simulation  the live engine's decisions without the waiting
    config      YAML and flags to typed settings and parts
    cli         the command line
"""
