"""The keys of the configurations that users of CLIP-based recognition by label texts know.

    found = FORM.read(Path("configs/ucf101/ucf_train.yaml"), ["data.batch_size", "8"])
    found.values["data.batch_size"]      # 8
"""

from functools import partial

from datatools.numbers import MOST_COUNT, number, shortened
from utils.keys import Form, Key, as_folder, as_list, as_number, as_path, as_size, as_switch, as_text, one_of
from utils.settings import devices

# Of CLIP's vision transformers, by their name: the sizes of the network, and open_clip's name of the same.
WIDE = {"width": 1024, "depth": 24, "embed": 768, "text_width": 768}
ARCHES = {"ViT-B/32": ({"patch_size": 32}, "ViT-B-32"), "ViT-B/16": ({"patch_size": 16}, "ViT-B-16"),
          "ViT-L/14": ({"patch_size": 14, **WIDE}, "ViT-L-14")}
FUSIONS = ("meanP", "Transf", "LSTM", "Conv_1D", "Transf_cls")


# ---------------------------------------------------------------- readers of values: ValueError says what is expected


def as_arch(value) -> str:
    """One of ARCHES, with or without CLIP- before it."""
    name = as_text(value).removeprefix("CLIP-")
    if name not in ARCHES:
        raise ValueError(f"found {shortened(value)}, expected {', '.join(ARCHES)}; the section `sizes` makes others")
    return name


def as_start(value) -> str:
    """True: CLIP's weights; False: none; or a file, or a name that open_clip knows."""
    if isinstance(value, bool):
        return "clip" if value else "none"
    if word := as_text(value):
        return word
    raise ValueError("found nothing, expected True, False, or a file")


def as_decay(value) -> int | tuple[int, ...]:
    """Every so many epochs, or the epochs themselves."""
    kind = number(int, low=1, high=MOST_COUNT)
    epochs = as_list(value, kind) if isinstance(value, list) else as_number(value, kind)
    if isinstance(epochs, tuple) and (not epochs or list(epochs) != sorted(set(epochs))):
        raise ValueError(f"found {shortened(value)}, expected a number, or epochs that ascend, such as [20, 40]")
    return epochs


def as_fusion(value) -> str:
    if as_text(value) not in FUSIONS:
        raise ValueError(f"found {shortened(value)}, expected {', '.join(FUSIONS)}")
    return as_text(value)


def as_devices(value) -> str:
    return devices(str(value))


as_policy = partial(one_of, cosine="cosine", multistep="steps")
as_optimizer = partial(one_of, adamw="adamw", adam="adam", sgd="sgd")


# ---------------------------------------------------------------- the tables


KEYS = {
    "pretrain": Key("weights that a training begins with, or that are tested (network.init; the newest training's "
                    "model_best.pt)", read=as_path),
    "resume": Key("go on with the training of this checkpoint, or of the newest one: auto", read=as_path),
    "seed": Key("of weights, order and augmentation (10)", "fit.seed", "train"),
    "data.dataset": Key("names the folder; without left and right where it holds some, sth or ssv2 (the YAML's name)",
                        read=as_folder),
    "data.num_segments": Key("frames of a clip, one from each of so many equal parts of the video (8)",
                             "recognition.num_frames"),
    "data.batch_size": Key("videos of a batch, of all GPUs together (64)", "fit.batch_size"),
    "data.workers": Key("threads that read ahead (4)", "fit.num_workers"),
    "data.train_list": Key("lines `video label` or `folder num_frames label`, labels from 0", read=as_path),
    "data.val_list": Key("the same, of the videos that validate or are tested", read=as_path),
    "data.label_list": Key("names of the classes, a CSV `id,name`; a label is the row of its name", "matching.labels"),
    "data.input_size": Key("side of the pictures, pixels (224)", "recognition.image_size"),
    "data.random_shift": Key("in training, frames anywhere in their parts, not in the middle (True)",
                             "matching.random_shift", "train"),
    "data.videos_root": Key("where relative paths in the lists start (the working directory)",
                            "recognition.videos_root"),
    "data.skip_broken": Key("leave out videos of val_list that cannot be read (False)", "recognition.skip_broken"),
    "data.templates": Key("file of texts with one {} for the name (the public 16)", "matching.templates"),
    "data.views": Key("clips of a video in the test (1)", "recognise.views", "test"),
    "data.crops": Key("1, the middle, or 3 parts of each picture in the test (1)", "recognise.crops", "test"),
    "network.type": Key("names the folder (clip)", read=as_folder),
    "network.arch": Key("CLIP's: ViT-B/32, ViT-B/16 or ViT-L/14 (ViT-B/32)", read=as_arch),
    "network.init": Key("begin with CLIP's weights, downloaded once; or a file; or False (True)", read=as_start),
    "network.tsm": Key("temporal shift in the visual tower (False)", "sizes.tsm", "train", as_switch),
    "network.drop_out": Key("highest share of left-out blocks (0)", "sizes.drop_out", "train",
                            partial(as_number, kind=number(float, low=0, high=1))),
    "network.emb_dropout": Key("of embeddings (0)", "sizes.emb_dropout", "train",
                               partial(as_number, kind=number(float, low=0, high=1))),
    "network.sim_header": Key(f"how frames become one: {', '.join(FUSIONS)} (Transf)", "sizes.fusion", "train",
                              as_fusion),
    "network.fix_text": Key("leave the text tower as it is (False)", "matching.fix_text", "train"),
    "sizes.patch_size": Key("of another network than network.arch, and so below", "sizes.patch_size", "train", as_size),
    "sizes.width": Key("of the visual tower", "sizes.width", "train", as_size),
    "sizes.depth": Key("its blocks", "sizes.depth", "train", as_size),
    "sizes.embed": Key("of the space that both towers share", "sizes.embed", "train", as_size),
    "sizes.text_width": Key("of the text tower", "sizes.text_width", "train", as_size),
    "sizes.text_depth": Key("its blocks", "sizes.text_depth", "train", as_size),
    "sizes.quick_gelu": Key("as OpenAI's weights need it; False for most of open_clip's (True)", "sizes.quick_gelu",
                            read=as_switch),
    "sizes.conv_as_reference": Key("Conv_1D over memory as the public code has it (False)", "sizes.conv_as_reference",
                                   "train", as_switch),
    "sizes.checkpointing": Key("compute each block twice in training, for less memory (False)", "sizes.checkpointing",
                               "train", as_switch),
    "solver.type": Key("of the learning rate: cosine, or multistep, a tenth at each step (cosine)", "fit.schedule",
                       "train", as_policy),
    "solver.epochs": Key("epochs (50)", "fit.max_epoch", "train"),
    "solver.optim": Key("adamw, which stands for adam too, or sgd (adamw)", "recognition.optimizer", "train",
                        as_optimizer),
    "solver.lr": Key("highest learning rate of the text tower (5e-6)", "fit.lr", "train"),
    "solver.lr_warmup_step": Key("epochs in which it rises from 0 (5)", "fit.warmup_epochs", "train"),
    "solver.lr_decay_step": Key("multistep: every so many epochs, or a list of epochs (15)", read=as_decay),
    "solver.momentum": Key("of sgd (0.9)", "recognition.momentum", "train"),
    "solver.weight_decay": Key("(0.2)", "recognition.weight_decay", "train"),
    "solver.ratio": Key("learning rate of the visual tower, times lr (1)", "matching.ratio", "train"),
    "solver.f_ratio": Key("learning rate of the fusion, times lr (10)", "matching.f_ratio", "train"),
    "solver.accumulation_step": Key("batches that make one step, as one large batch would (1)",
                                    "fit.accumulation_step", "train"),
    "solver.use_amp": Key("bfloat16 or float16 where that is faster (False)", "fit.use_amp"),
    "solver.evaluate": Key("test alone, whichever script is called (False)", read=as_switch),
    "logging.print_freq": Key("steps between updates of the progress bar (10)", "fit.show_freq", "train"),
    "logging.eval_freq": Key("1: every epoch is validated",
                             read=partial(as_number, kind=number(int, low=1, high=MOST_COUNT))),
    "gpus": Key("ids such as 0,1, or cpu (all GPUs, else the CPU)", "fit.gpus", read=as_devices),
}
# (the value that is there, what a user can do)
FIXED = {
    "data.image_tmpl": ("img_{:05d}.jpg", "tools/extract_frames.py names frames so"),
    "data.randaug.N": (0, "there is no RandAugment; crops, mirroring and colours vary the clips"),
    "network.joint": (False, "frames of all times in one attention cannot run in the public code, and are not here"),
    "solver.start_epoch": (0, "`resume` goes on where a training stopped"),
}
# Of the public files; the public code reads none of them but data.randaug.M.
UNUSED = {
    "data.modality": "", "data.seg_length": "", "data.split": "the lists tell it",
    "data.gpus": "all GPUs take part, or those of the key `gpus`", "data.num_classes": "the label list tells it",
    "data.index_bias": "the first frame is number 1", "data.flow_tmpl": "", "data.randaug.M": "",
    "network.fix_img": "", "network.describe": "", "network.version": "", "network.bn_momentum": "",
    "network.partial_bn": "", "network.consensus_type": "", "solver.epoch_offset": "",
    "solver.lr_decay_factor": "it is a tenth", "solver.clip_gradient": "nothing is clipped", "solver.loss_type": "",
}
# What messages of the engine call by its flag, and no single key sets.
SAID = {"--resume auto": "resume auto", "--overwrite, without --resume": "empty the folder",
        "--overwrite": "empty the folder", "--resume": "resume", "--pretrained none": "network.init False",
        "--pretrained FILE": "network.init FILE", "--pretrained": "pretrain or network.init",
        "--save_prefix": "--log_time", "the section `network` of the preset": "the section sizes",
        "a training cannot go on from it": "a training cannot go on from it; pretrain begins with them"}
FORM = Form(KEYS, FIXED, UNUSED, "tools/run_actionclip.py", "data.batch_size 8", "configs/ucf101", said=SAID)
