"""silero: how much of each second is speech, by Silero VAD.

Two numbers a second: the share of its 32 ms steps that are speech, and their mean probability of it.
"""

import numpy as np
import soxr

from datatools.encoders.encoder import SOUND, Encoder, package_file
from datatools.manifest import digest_of
from datatools.onnx_silent import import_onnxruntime

NAME, PACKAGE = "silero", "silero-vad"
RATE = 16_000              # Hz
STEP, BEFORE = 512, 64     # samples a step, and those of the step before that the network sees too
BLOCK = 512                # steps a call
UNITS = 128                # of the network's recurrence
SPEECH = 0.5               # probability from which a step counts as speech, the package's default


def find() -> Encoder:
    """Raises UserError where the package is missing."""
    weights = package_file(PACKAGE, "silero_vad", "data/silero_vad_16k_sequence.onnx", NAME)
    return Encoder(NAME, 2, SOUND, weights, digest_of(weights), PACKAGE, Silero, (("speech", SPEECH),))


class Silero:
    """The package's network for whole sequences, on onnxruntime; the package itself is not imported."""

    def __init__(self, encoder: Encoder):
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(encoder.weights, options, providers=["CPUExecutionProvider"])

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """Of speech in each STEP of samples at RATE, float32 (n,) -> (ceil(n / STEP),)."""
        count = -(-len(samples) // STEP)
        padded = np.pad(samples.astype(np.float32), (BEFORE, count * STEP - len(samples)))
        steps = np.lib.stride_tricks.sliding_window_view(padded, BEFORE + STEP)[::STEP]          # (count, 576)
        state = {name: np.zeros((1, 1, UNITS), np.float32) for name in ("h", "c")}
        found = []
        for first in range(0, count, BLOCK):
            block = np.ascontiguousarray(steps[first:first + BLOCK])
            values, state["h"], state["c"] = self.session.run(["speech_probs", "hn", "cn"], {"input": block, **state})
            found.append(values.reshape(-1))
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def sound(self, samples: np.ndarray, sample_rate: int, seconds: int) -> np.ndarray:
        """Rows of seconds without sound are 0."""
        found = self.probabilities(soxr.resample(samples, sample_rate, RATE)[:seconds * RATE])
        second = (np.arange(len(found)) * STEP + STEP // 2) // RATE
        found, second = found[second < seconds], second[second < seconds]
        counts = np.maximum(1, np.bincount(second, minlength=seconds))
        told = [np.bincount(second, values, seconds) / counts for values in (found >= SPEECH, found)]
        return np.stack(told, 1).astype(np.float32)
