"""The content of the pipeline, one folder a step, in the order in which a frame meets them:

    capture -> decode -> preprocess -> detect -> track -> (publish, by the engine) -> sink
    packets    pictures  tensors       detections tracks                             files, websocket

Beside the way stand chaos (trouble on purpose) and evaluate (scores against labelled clips).

Folders do not import each other; they share `payloads` (what travels between them) and `boxes` (box maths).
"""
