"""The keys of SlowFast's configurations, which TimeSformer's users know.

    found = read_configuration(Path("configs/Kinetics/TimeSformer_divST_8x32_224.yaml"), ["TRAIN.BATCH_SIZE", "6"])
    found.values["TRAIN.BATCH_SIZE"]      # 6
"""

import re
from functools import partial

from datatools.numbers import MOST_COUNT, MOST_WORKERS, number, shortened
from utils.keys import Form, Key, as_list, as_number, as_size, as_switch, as_text, one_of

VIT = re.compile(r"vit_base_patch([0-9]{1,3})_[0-9]{2,4}")


# ---------------------------------------------------------------- readers of values: ValueError says what is expected


def as_steps(value) -> tuple[int, ...]:
    """The epochs at which the learning rate falls, of a list that begins with 0."""
    steps = as_list(value, number(int, low=0, high=MOST_COUNT))
    if steps[:1] != (0,) or list(steps) != sorted(set(steps)):
        raise ValueError(f"found {shortened(value)}, expected epochs that ascend from 0, such as [0, 11, 14]")
    return steps[1:]


def as_tenths(value) -> int:
    """How often the learning rate falls, of a list of its factors."""
    rates = as_list(value, number(float, low=0, high=1))
    if any(abs(rate - 0.1**place) > 1e-6 * 0.1**place for place, rate in enumerate(rates)) or not rates:
        raise ValueError(f"found {shortened(value)}, expected a tenth at each step, such as [1, 0.1, 0.01]")
    return len(rates) - 1


def as_vit(value) -> int:
    """The patches' side, of the name of a base ViT."""
    if not (match := VIT.fullmatch(as_text(value))):
        raise ValueError(f"found {shortened(value)}, expected a base ViT such as vit_base_patch16_224; NETWORK.WIDTH, "
                         "DEPTH, HEADS and PATCH_SIZE make others")
    return int(match[1])


def as_dataset(value) -> bool | None:
    """Whether frames come from equal segments of the whole video; None leaves it as it is."""
    return one_of(value, kinetics=None, ssv2=True)


as_processes = partial(as_number, kind=number(int, low=0, high=MOST_WORKERS))
as_optimizer = partial(one_of, sgd="sgd", adam="adam", adamw="adamw")
as_policy = partial(one_of, steps_with_relative_lrs="steps", cosine="cosine")


# ---------------------------------------------------------------- the tables


KEYS = {
    "TRAIN.ENABLE": Key("train (True)", read=as_switch),
    "TRAIN.DATASET": Key("kinetics: clips of a video; ssv2: frames of the whole video, not mirrored, BGR",
                         "recognition.segments", "train", as_dataset),
    "TRAIN.BATCH_SIZE": Key("videos of a batch, of all GPUs together (8)", "fit.batch_size", "train"),
    "TRAIN.FINETUNE": Key("begin with the weights of TRAIN.CHECKPOINT_FILE_PATH, at epoch 0", read=as_switch),
    "TRAIN.CHECKPOINT_FILE_PATH": Key("fine-tune this file, or go on with its training", read=as_text),
    "TRAIN.AUTO_RESUME": Key("go on with the training in OUTPUT_DIR, if there is one (True)", read=as_switch),
    "TRAIN.MIXED_PRECISION": Key("bfloat16 or float16 where that is faster (False)", "fit.use_amp"),
    "GLOBAL_BATCH_SIZE": Key("videos of a step: gradients of smaller batches are added up (64)",
                             read=partial(as_number, kind=number(int, low=1, high=MOST_COUNT))),
    "TEST.ENABLE": Key("test, after the training if there is one (True)", read=as_switch),
    "TEST.DATASET": Key("as TRAIN.DATASET, of the test's clips", "recognition.segments", "test", as_dataset),
    "TEST.BATCH_SIZE": Key("clips of a batch (8)", "fit.batch_size", "test"),
    "TEST.CHECKPOINT_FILE_PATH": Key("the weights to test (the last ones in OUTPUT_DIR)", "recognise.weights", "test"),
    "TEST.NUM_ENSEMBLE_VIEWS": Key("clips of a video (1)", "recognise.views", "test"),
    "TEST.NUM_SPATIAL_CROPS": Key("1, the middle, or 3 parts of each picture (3)", "recognise.crops", "test"),
    "DATA.PATH_TO_DATA_DIR": Key("folder of train.csv, val.csv and test.csv, lines of `path label`",
                                 "recognition.data_root"),
    "DATA.PATH_PREFIX": Key("where relative paths in the lists start (the working directory)",
                            "recognition.videos_root"),
    "DATA.NUM_FRAMES": Key("frames of a clip (8)", "recognition.num_frames"),
    "DATA.SAMPLING_RATE": Key("a clip spans NUM_FRAMES times so many frames at 30 a second (32)",
                              "recognition.sampling_rate"),
    "DATA.TRAIN_CROP_SIZE": Key("side of the pictures in training, pixels (224)", "recognition.image_size", "train"),
    "DATA.TEST_CROP_SIZE": Key("side of the pictures in the test, pixels (the checkpoint's)",
                               "recognition.image_size", "test"),
    "DATA.TRAIN_JITTER_SCALES": Key("least and most of the pictures' short side before the crop ([256, 320])",
                                    "recognition.short_side"),
    "DATA.RANDOM_FLIP": Key("mirror one clip in two in training (True)", "recognition.flip", "train"),
    "DATA.SKIP_BROKEN": Key("leave out videos of val.csv and test.csv that cannot be read (False)",
                            "recognition.skip_broken"),
    "TIMESFORMER.ATTENTION_TYPE": Key("divided_space_time, joint_space_time or space_only", "sizes.attention", "train",
                                      as_text),
    "TIMESFORMER.PRETRAINED_MODEL": Key("a ViT to begin with, or none ('': ImageNet's, downloaded once)",
                                        "recognition.pretrained", "train"),
    "SOLVER.BASE_LR": Key("highest learning rate (0.005)", "fit.lr", "train"),
    "SOLVER.LR_POLICY": Key("steps_with_relative_lrs or cosine (the former)", "fit.schedule", "train", as_policy),
    "SOLVER.STEPS": Key("epochs from which the rates of SOLVER.LRS hold ([0, 11, 14])", "fit.decay_epochs", "train",
                        as_steps),
    "SOLVER.LRS": Key("factors of the learning rate, each a tenth of the one before ([1, 0.1, 0.01])", read=as_tenths),
    "SOLVER.MAX_EPOCH": Key("epochs (15)", "fit.max_epoch", "train"),
    "SOLVER.MOMENTUM": Key("of sgd (0.9)", "recognition.momentum", "train"),
    "SOLVER.WEIGHT_DECAY": Key("(0.0001)", "recognition.weight_decay", "train"),
    "SOLVER.WARMUP_EPOCHS": Key("epochs in which the learning rate rises from 0 (0)", "fit.warmup_epochs", "train"),
    "SOLVER.OPTIMIZING_METHOD": Key("sgd, or adamw, which stands for adam too (sgd)", "recognition.optimizer", "train",
                                    as_optimizer),
    "SOLVER.CLIP_GRAD_L2NORM": Key("largest norm of a step's gradient (none)", "fit.clip_grad", "train"),
    "MODEL.MODEL_NAME": Key("vit_base_patch16_224 and the like", "sizes.patch_size", "train", as_vit),
    "MODEL.NUM_CLASSES": Key("classes of the head (those of the lists)", "sizes.classes", "train", as_size),
    "NETWORK.WIDTH": Key("of the network (768)", "sizes.width", "train", as_size),
    "NETWORK.DEPTH": Key("blocks (12)", "sizes.depth", "train", as_size),
    "NETWORK.HEADS": Key("of each attention (12)", "sizes.heads", "train", as_size),
    "NETWORK.PATCH_SIZE": Key("pixels (that of MODEL.MODEL_NAME)", "sizes.patch_size", "train", as_size),
    "NETWORK.MLP_RATIO": Key("(4)", "sizes.mlp_ratio", "train", as_number),
    "NETWORK.BGR": Key("channels as blue, green, red (True for ssv2, else False)", "sizes.bgr", "train", as_switch),
    "NETWORK.CHECKPOINTING": Key("compute each block twice in training, for less memory (False)",
                                 "sizes.checkpointing", "train", as_switch),
    "DATA_LOADER.NUM_WORKERS": Key("threads that read ahead (4)", "fit.num_workers"),
    "NUM_GPUS": Key("in a YAML at most so many, on the command line exactly so many (all)", read=as_processes),
    "RNG_SEED": Key("of weights, order and augmentation (10)", "fit.seed", "train"),
    "OUTPUT_DIR": Key("folder of checkpoints, log and results (work_dir/NAME of the YAML, NAME_finetune)",
                      "fit.save_prefix"),
    "LOG_PERIOD": Key("steps between updates of the progress bar (10)", "fit.show_freq", "train"),
}
# (the value that is there, what a user can do)
FIXED = {
    "DATA.MEAN": ([0.45, 0.45, 0.45], "the network subtracts it"),
    "DATA.STD": ([0.225, 0.225, 0.225], "the network divides by it"),
    "DATA.TARGET_FPS": (30, "times are counted so"),
    "DATA.PATH_LABEL_SEPARATOR": (" ", "blanks, tabs and commas are all understood"),
    "DATA.ENSEMBLE_METHOD": ("sum", "the logits of all views are summed"),
    "DATA.MULTI_LABEL": (False, "a video has one class"),
    "DATA.AUTO_AUGMENT": ("", "there is no such augmentation"),
    "DATA.RE_PROB": (0, "there is no random erasing"),
    "DATA.COLOR_JITTER": (0, "there is no such augmentation"),
    "DATA.DEIT_TRANSFORMS": (False, "there are no such augmentations"),
    "MIXUP.ENABLED": (False, "there is no mixup"),
    "EMA.ENABLED": (False, "averaged weights are a flag of timesformer_main.py, --ema"),
    "DETECTION.ENABLE": (False, "videos are classified, nothing is detected"),
    "DEMO.ENABLE": (False, "timesformer_main.py --video answers for any video"),
    "MULTIGRID.SHORT_CYCLE": (False, "all clips have the same size"),
    "MULTIGRID.LONG_CYCLE": (False, "all clips have the same size"),
    "MODEL.ARCH": ("vit", "there is no other network here"),
    "MODEL.LOSS_FUNC": ("cross_entropy", "there is no other loss"),
    "SOLVER.NESTEROV": (True, "sgd has Nesterov's momentum"),
    "SOLVER.DAMPENING": (0, "momentum is not dampened"),
    "SOLVER.COSINE_END_LR": (0, "the learning rate falls to zero"),
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": (False, "give SOLVER.BASE_LR itself"),
    "TRAIN.CHECKPOINT_TYPE": ("pytorch", "convert the file"),
    "TEST.CHECKPOINT_TYPE": ("pytorch", "convert the file"),
    "TRAIN.CHECKPOINT_INFLATE": (False, "there are no 3-D convolutions"),
    "TRAIN.CHECKPOINT_EPOCH_RESET": (False, "TRAIN.FINETUNE True begins at epoch 0"),
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": ([], "prefixes of the tensors' names are understood"),
    "NUM_SHARDS": (1, "for several machines start this command by torchrun on each"),
    "SHARD_ID": (0, "for several machines start this command by torchrun on each"),
}
UNUSED = {
    "TRAIN.EVAL_PERIOD": "every epoch is validated", "TRAIN.CHECKPOINT_PERIOD": "every epoch is saved",
    "TEST.SAVE_RESULTS_PATH": "results lie in OUTPUT_DIR", "MODEL.DROPOUT_RATE": "", "MODEL.DROPCONNECT_RATE": "",
    "MODEL.FC_INIT_STD": "", "MODEL.HEAD_ACT": "", "MODEL.SINGLE_PATHWAY_ARCH": "", "MODEL.MULTI_PATHWAY_ARCH": "",
    "DATA.INPUT_CHANNEL_NUM": "", "DATA.CROP_SIZE": "", "DATA.TEMPORAL_EXTENT": "", "DATA.DECODING_BACKEND": "",
    "DATA.INV_UNIFORM_SAMPLE": "sides are drawn uniformly",
    "DATA.REVERSE_INPUT_CHANNEL": "the data set tells the order", "DATA_LOADER.PIN_MEMORY": "",
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "", "SOLVER.GAMMA": "", "SOLVER.STEP_SIZE": "",
    "SOLVER.WARMUP_FACTOR": "", "SOLVER.WARMUP_START_LR": "it rises from 0", "LOG_MODEL_INFO": "", "DIST_BACKEND": "",
}
# Of other networks and programs, as complete configurations hold them; FIXED has the keys that would matter.
UNUSED_SECTIONS = ("BN", "RESNET", "X3D", "NONLOCAL", "SLOWFAST", "MIXUP", "EMA", "BENCHMARK", "DETECTION", "AVA",
                   "MULTIGRID", "TENSORBOARD", "DEMO")


# What messages of the engine call by its flag, and no single key sets.
SAID = {"--resume auto": "TRAIN.AUTO_RESUME True", "--overwrite, without --resume": "empty the folder",
        "--overwrite": "empty the folder", "--resume": "TRAIN.AUTO_RESUME",
        "--accumulation_step": "GLOBAL_BATCH_SIZE / TRAIN.BATCH_SIZE", "--gpus": "NUM_GPUS",
        "the section `network` of the preset": "the sections DATA, MODEL and NETWORK",
        "a training cannot go on from it": "a training cannot go on from it; TRAIN.FINETUNE True begins with them"}
FORM = Form(KEYS, FIXED, UNUSED, "tools/run_net.py", "TRAIN.BATCH_SIZE 6", "configs/Kinetics and configs/SSv2",
            UNUSED_SECTIONS, SAID)
described, read_configuration, in_keys = FORM.described, FORM.read, FORM.in_keys
