"""What an entry script of a video recogniser does: train, or with --weights test and infer.

    run(TimeSformer, recognition_command(__doc__, argv))      # all that an entry script calls
"""

from datatools.errors import UserError
from utils.cli import RecognitionCommand
from utils.distributed import World
from utils.fit import fit
from utils.launch import launched
from utils.matching import Loss, matching_task, read_labels
from utils.recognise import recognise
from utils.recognition import read_lists, recognition_data, recognition_task, sampling_of, usual_sampling


def run(network: type, command: RecognitionCommand, loss: Loss | None = None) -> int:
    """Train, or with --weights test or infer, as the command says; returns the exit code. Raises UserError.

    `loss`: of a network that knows its classes by their names (utils/matching.py).
    """
    asked = command.recognise
    if asked.weights:
        return recognise(network, command)
    if inference := [f"--{name}" for name in ("video", "features", "per_second", "attention")
                     if getattr(asked, name)]:
        raise UserError(f"{' '.join(inference)}: needs --weights, a trained network.")
    if command.fit.save_prefix is None:
        raise UserError("--save_prefix is missing: the folder for checkpoints and logs.")
    if loss is not None and command.fit.batch_size * command.fit.accumulation_step == 1:
        raise UserError("--batch_size 1: a step compares its clips with each other, so one clip teaches nothing. Give "
                        "a larger one, or more --accumulation_step.")

    def train(world: World) -> int:
        settings, matching = command.recognition, command.matching
        names = read_labels(matching.labels) if matching and matching.labels else ()
        lists = read_lists(settings, ("train", "val"), names=names, files=command.lists)
        if loss is None:
            task = recognition_task(network, settings, command.sizes, lists)
        else:
            task = matching_task(network, loss, settings, matching, command.sizes, lists)
        usual = {**usual_sampling(network), **({"random_shift": matching.random_shift} if matching else {})}
        data = recognition_data(settings, lists, sampling_of(settings, usual), command.fit.seed)
        return fit(task, command.fit, data).exit_code

    return launched(command.fit.gpus, command.launch, command.words, train)
