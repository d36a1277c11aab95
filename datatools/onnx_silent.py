"""onnxruntime, kept from gathering telemetry."""

import os


def import_onnxruntime():
    """The module onnxruntime; it must not be imported in another way.

    It reads the variable once, as it is imported: it would write an identifier and a queue of events below
    ~/.cache/Microsoft and send them. Its disable_telemetry_events() comes too late for that, and helps only where
    someone has imported it before.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime
