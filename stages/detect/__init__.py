"""Model inputs to detections.

- `onnx` is the stage, `synthetic` its stand-in that needs no model.
- `session` opens a model where it was asked to run, `facts` says what is known about it besides its graph, `input` what
  its input looks like, `names` what its classes are called.
- `evidence` looks at its first answers, `recognition` finds out how it answers, `families` lists the ways, `readers`
  reads them, `nms` thins out the boxes.
- `store` knows models by name, `download` fetches them, `commands` is `framepace models`,
  `inspect` what that tells about a model.
"""

import os

# Runs must not report to anybody. onnxruntime reads this when it is imported, and switching it off later is too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
