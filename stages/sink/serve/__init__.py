"""One port to look at a run and, with a token, to control it: a page, records, pictures, metrics.

options   what can be set
guard     who may ask for what, and how often
readiness whether answers say something
assets    the files of the page
results   records for many clients, each with its own wishes
preview   pictures, made only while somebody looks
window    what happened in the last seconds
now       the state of the run, once a second
metrics   the same for Prometheus
control   what changes the run
app       the addresses, and what stands behind each
sink      the sink, which holds all of it together
"""
