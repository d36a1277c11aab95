"""Find where the openings and endings of whole episodes are, and give players their skip markers.

    python locate.py Anime                                  # a table of what was found; nothing is written
    python locate.py Anime --output markers.json            # one file of all markers
    python locate.py Anime --write edl                      # an EDL beside each episode, as Kodi reads it
    python locate.py Anime --write chapters --dry_run       # what would be written
    python locate.py Anime --undo                           # take back what was written
    python locate.py Anime --correct Anime/01.mkv opening 12.3 102.4

What was found is kept (--state): a second run looks only at new and changed files. Exit code 1 where an episode failed;
the others are done.
"""

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import number
from datatools.paths import path, path_text
from datatools.stages import add_pool_flags

FORMS = ("edl", "edl-jellyfin", "chapters", "ffmetadata", "aniskip")
EDL_ACTIONS = {"cut": 0, "mute": 1, "scene": 2, "break": 3}


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("paths", type=path, nargs="+", metavar="PATH", help="videos, and folders with videos")
    parser.add_argument("--output", type=path, metavar="FILE", help="write all markers into one .json or .csv file")
    parser.add_argument("--write", nargs="+", choices=FORMS, default=[], metavar="FORM",
                        help=f"write these for each episode: {', '.join(FORMS)}")
    parser.add_argument("--edl_action", choices=EDL_ACTIONS, default="break", help="of an EDL's lines (%(default)s)")
    parser.add_argument("--markers_folder", type=path, metavar="FOLDER",
                        help="write there, in folders like the episodes', instead of beside them")
    parser.add_argument("--replace", action="store_true",
                        help="also files that someone else made or changed; what they held is kept")
    parser.add_argument("--dry_run", action="store_true", help="show what would be written or undone")
    parser.add_argument("--undo", action="store_true", help="take back what was written for these episodes")
    parser.add_argument("--correct", nargs="+", action="append", type=path_text, default=[], metavar="WORD",
                        help="take a person's markers: an edited file of --output, or EPISODE TYPE START END, or "
                        "EPISODE TYPE none; they stay, and teach the season")
    parser.add_argument("--forget_corrections", action="store_true", help="forget those of these episodes")
    parser.add_argument("--state", type=path, metavar="FILE", help="what was found before (default: "
                        "avtnet/locate.sqlite below $XDG_DATA_HOME, else below ~/.local/share)")
    parser.add_argument("--cost_of_story_second", type=number(float, low=0, high=1e6), default=10.0, metavar="PRICE",
                        help="of a second of story that is skipped; a missed marker costs 1 (%(default)g)")
    parser.add_argument("--weights", nargs="+", default=[], type=path_text, metavar="CHECKPOINT",
                        help="also ask these boundary networks; `default`: the default weights")
    parser.add_argument("--recogniser", nargs="+", default=[], type=path, metavar="CHECKPOINT",
                        help="also ask these TimeSformer or ActionCLIP checkpoints, trained on classes such as opening "
                        "and ending, about each second of head and tail")
    parser.add_argument("--retry_failed", action="store_true", help="look again at files that failed before")
    parser.add_argument("--watch", action="store_true", help="go on, and look at what is added or changed")
    add_pool_flags(parser, "episode")
    told = vars(parser.parse_args(argv))

    from episodes.command import run

    told["edl_action"] = EDL_ACTIONS[told["edl_action"]]
    return run(told)


if __name__ == "__main__":
    run_command(main)
