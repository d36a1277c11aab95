"""What an entry script of a video recogniser does: train, or with --weights test and infer.

    run(TimeSformer, recognition_command(__doc__, argv))      # all that an entry script calls
"""

from datatools.errors import UserError
from utils.cli import RecognitionCommand
from utils.distributed import World
from utils.fit import fit
from utils.launch import launched
from utils.recognise import recognise
from utils.recognition import read_lists, recognition_data, recognition_task, sampling_of


def run(network: type, command: RecognitionCommand) -> int:
    """Train, or with --weights test or infer, as the command says; returns the exit code. Raises UserError."""
    asked = command.recognise
    if asked.weights:
        return recognise(network, command)
    if inference := [f"--{name}" for name in ("video", "features", "per_second", "attention")
                     if getattr(asked, name)]:
        raise UserError(f"{' '.join(inference)}: needs --weights, a trained network.")
    if command.fit.save_prefix is None:
        raise UserError("--save_prefix is missing: the folder for checkpoints and logs.")

    def train(world: World) -> int:
        lists = read_lists(command.recognition, ("train", "val"))
        task = recognition_task(network, command.recognition, command.sizes, lists)
        data = recognition_data(command.recognition, lists, sampling_of(command.recognition), command.fit.seed)
        return fit(task, command.fit, data).exit_code

    return launched(command.fit.gpus, command.launch, command.words, train)
