"""Skip markers: what is refused, and that every form reads back as it was written, by us and by players' tools."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from datatools.errors import UserError
from episodes import chapters, kept, markers
from episodes.chapters import Chapter, read_chapters
from episodes.markers import BREAK, CUT, SCENE, EpisodeMarkers, Marker
from tests.media_files import numbered_picture, tone, write_media

MKVTOOLNIX = pytest.mark.skipif(not shutil.which("mkvpropedit"), reason="mkvtoolnix is not installed (Debian's package "
                                "mkvtoolnix): chapters in Matroska files are not proved here")
MPV = pytest.mark.skipif(not shutil.which("mpv"), reason="mpv is not installed (Debian's package mpv): what a player "
                         "makes of the chapters is not proved here")

EPISODE = EpisodeMarkers("Show/01.mkv", 1440.0, (
    Marker("opening", 60.25, 150.0, 0.97, ((60.0, 60.5), (149.9, 150.1)), ("sound", "chapters")),
    Marker("recap", 2.001, 60.25, 0.8),
    Marker("ending", 1300.0, 1390.0),
    Marker("preview", 1390.0, 1420.0, 0.5, None, ("text",)),
))
SHORT = EpisodeMarkers("short", 20.0, (Marker("opening", 2.0, 5.5), Marker("ending", 12.0, 15.0)))
TITLES = ["Episode", "Opening", "Episode", "Ending", "Episode"]
STARTS = [0.0, 2.0, 5.5, 12.0, 15.0]


# ---------------------------------------------------------------- what is a marker


@pytest.mark.parametrize(("values", "told"), [
    (("intro", 1.0, 2.0), "expected one of opening, ending, recap, preview"),
    (("opening", -1.0, 2.0), "start"),
    (("opening", float("nan"), 2.0), "start"),
    (("opening", 0.0, float("inf")), "end"),
    (("opening", True, 2.0), "start"),
    (("opening", "1", 2.0), "start"),
    (("opening", 5.0, 5.0), "after the start"),
    (("opening", 5.0, 4.0), "after the start"),
    (("opening", 1.0, 2.0, 1.5), "0 to 1"),
    (("opening", 1.0, 2.0, 1.0, ((3.0, 4.0), (1.0, 3.0))), "interval"),
    (("opening", 1.0, 2.0, 1.0, (0.5, 1.5)), "interval"),
    (("opening", 1.0, 2.0, 1.0, None, ("a;b",)), "evidence"),
    (("opening", 1.0, 2.0, 1.0, None, "sound"), "evidence"),
])
def test_values_that_are_no_marker_are_refused(values, told):
    with pytest.raises(UserError, match=told):
        Marker(*values)


def test_an_episode_sorts_its_markers_and_refuses_what_cannot_be():
    assert [marker.type for marker in EPISODE.markers] == ["recap", "opening", "ending", "preview"]
    with pytest.raises(UserError, match="overlaps"):
        EpisodeMarkers("a", 100.0, (Marker("opening", 1, 30), Marker("recap", 29, 40)))
    with pytest.raises(UserError, match="ends at 20"):
        EpisodeMarkers("a", 20.0, (Marker("opening", 1, 30),))
    with pytest.raises(UserError, match="not UTF-8"):
        EpisodeMarkers(os.fsdecode(b"caf\xe9.mkv"), 20.0)


# ---------------------------------------------------------------- JSON, CSV


@pytest.mark.parametrize(("save", "read"), [(markers.save_json, markers.read_json),
                                            (markers.save_csv, markers.read_csv_markers)])
def test_json_and_csv_read_back_as_they_were_written(tmp_path, save, read):
    episodes = [EPISODE, EpisodeMarkers('=1+2, "x"\n.mkv', None), EpisodeMarkers("葬送/05.mkv", 3.5)]
    save(tmp_path / "markers", episodes)
    assert read(tmp_path / "markers") == episodes


def test_the_json_has_the_documented_form_and_other_programs_keys_do_no_harm(tmp_path):
    markers.save_json(tmp_path / "a.json", [EPISODE])
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["episodes"][0]["markers"][1] == {
        "type": "opening", "start": 60.25, "end": 150.0, "confidence": 0.97,
        "interval": {"start": [60.0, 60.5], "end": [149.9, 150.1]}, "evidence": ["sound", "chapters"]}
    (tmp_path / "b.json").write_text('{"episodes": [{"path": "a", "markers": [{"type": "ending", "start": 1, "end": 2,'
                                     ' "by": "me"}]}]}')
    assert markers.read_json(tmp_path / "b.json") == [EpisodeMarkers("a", None, (Marker("ending", 1, 2),))]


@pytest.mark.parametrize("text", [
    "", "[]", "{", '{"episodes": 3}', '{"episodes": [3]}', '{"episodes": [{"markers": []}]}',
    '{"episodes": [{"path": "a", "markers": [{"type": "opening"}]}]}', '{"episodes": [{"path": "a", "markers": 3}]}',
    '{"episodes": [{"path": "a", "markers": [{"type": [], "start": 0, "end": 9}]}]}',
    '{"episodes": [{"path": "a", "markers": [{"type": "opening", "start": 0, "end": 9, "interval": 4}]}]}',
    '{"episodes": [{"path": "a", "markers": [{"type": "opening", "start": 9, "end": 0}]}]}', "[" * 100_000,
])
def test_json_of_another_form_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UserError, match="bad.json"):
        markers.read_json(tmp_path / "bad.json")


@pytest.mark.parametrize("line", ["", "a", '"a","","opening","x","2","1","","","","",""',
                                  '"a","","opening","1","2","1","1","","","",""',
                                  '"a","","intro","1","2","1","","","","",""'])
def test_a_bad_line_of_a_csv_is_shown(tmp_path, line):
    (tmp_path / "bad.csv").write_text((",".join(markers.CSV_HEAD) + "\n" + line) if line else "a,b\n")
    with pytest.raises(UserError, match="bad.csv"):
        markers.read_csv_markers(tmp_path / "bad.csv")


# ---------------------------------------------------------------- EDL


def kodi_edits(text: str, inclusive: bool) -> list[tuple[int, int, int]]:
    """The edits (ms, ms, action) that Kodi keeps of an EDL, by its source's rules; `inclusive`: an older version."""
    kept = []
    for line in text.splitlines():
        first, second, action = line.split()[:3]
        start, end = (int(float(t) * 1000) if inclusive else round(float(t) * 1000) for t in (first, second))
        inside = [a <= t <= b if inclusive else a <= t < b
                  for t in (start, end - (not inclusive)) for a, b, _ in kept]
        if action != "2" and start < end and not any(inside):
            kept.append((start, end, int(action)))
    if kept and kept[0][2] == BREAK and kept[0][1] - kept[0][0] < 5000:
        del kept[0]
    return kept


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("names", [True, False])
def test_kodi_keeps_every_marker_old_and_new_versions(inclusive, names):
    """Also where one begins as another ends, and where 2.001 * 1000 is 2000.999..."""
    assert kodi_edits(markers.edl_text(EPISODE, names=names), inclusive) == [
        (2001, 60249, 3), (60250, 150000, 3), (1300000, 1389999, 3), (1390000, 1420000, 3)]


def test_no_start_is_cut_off_to_the_end_before_it():
    for start in range(1, 3000):
        assert int(float(markers._edl_time(start)) * 1000) == start == round(float(markers._edl_time(start)) * 1000)


def test_a_leading_break_that_kodi_drops_is_told_with_the_remedy():
    short = EpisodeMarkers("a.mkv", 100.0, (Marker("recap", 10, 14.5), Marker("opening", 20, 40)))
    assert kodi_edits(markers.edl_text(short), False) == [(20000, 40000, 3)]
    remark, = markers.edl_remarks(short)
    assert "recap from 10.000" in remark and "action 0" in remark
    actions = {"recap": CUT, "opening": BREAK}
    assert markers.edl_remarks(short, actions) == [] and len(kodi_edits(markers.edl_text(short, actions), False)) == 2
    assert markers.edl_remarks(EPISODE) == []
    assert markers.edl_remarks(short, SCENE) == []


def test_an_edl_reads_back_with_its_types(tmp_path):
    markers.save_edl(tmp_path / "a.edl", EPISODE, {"opening": 0, "recap": 1, "ending": 2, "preview": 3}, names=True)
    edits = markers.read_edl(tmp_path / "a.edl")
    assert [edit.type for edit in edits] == ["recap", "opening", "ending", "preview"]
    assert [edit.action for edit in edits] == [1, 0, 2, 3]
    assert [edit.end for edit in edits] == [60.249, 150.0, 1389.999, 1420.0]
    assert (tmp_path / "a.edl").read_text().splitlines()[1] == "60.250\t150.000\t0\tIntro"


def test_other_programs_edls_are_read(tmp_path):
    (tmp_path / "a.edl").write_text("## by hand\n0:01:30.5 0:03:00 3\n255.3 2\n\n300 310.25 0 Commercial\n")
    assert markers.read_edl(tmp_path / "a.edl") == [
        markers.Edit(90.5, 180.0, 3), markers.Edit(255.3, 255.3, 2), markers.Edit(300.0, 310.25, 0)]


@pytest.mark.parametrize("line", ["#100 #200 3", "1 2 4", "2 1 3", "a b c", "3", "1 nan 3"])
def test_a_bad_line_of_an_edl_is_shown(tmp_path, line):
    (tmp_path / "bad.edl").write_text(line + "\n")
    with pytest.raises(UserError, match="line 1"):
        markers.read_edl(tmp_path / "bad.edl")


def test_an_action_that_kodi_lacks_is_refused():
    with pytest.raises(UserError, match="commercial break"):
        markers.edl_text(EPISODE, 4)
    with pytest.raises(UserError, match="recap"):
        markers.edl_text(EPISODE, {"opening": 3})


# ---------------------------------------------------------------- AniSkip


def test_aniskip_reads_back_without_the_preview(tmp_path):
    markers.save_aniskip(tmp_path / "a.json", EPISODE)
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["found"] and content["statusCode"] == 200
    assert content["results"][1]["interval"] == {"startTime": 60.25, "endTime": 150.0}
    assert content["results"][1]["skipType"] == "op" and content["results"][1]["episodeLength"] == 1440.0
    back = markers.read_aniskip(tmp_path / "a.json", "x.mkv")
    assert [(m.type, m.start, m.end) for m in back.markers] == [
        (m.type, m.start, m.end) for m in EPISODE.markers if m.type != "preview"]
    markers.save_aniskip(tmp_path / "none.json", EpisodeMarkers("a", 3.0))
    assert json.loads((tmp_path / "none.json").read_text())["found"] is False
    assert markers.read_aniskip(tmp_path / "none.json", "a").markers == ()


def test_aniskip_needs_a_duration_and_its_own_form(tmp_path):
    with pytest.raises(UserError, match="duration"):
        markers.save_aniskip(tmp_path / "a.json", EpisodeMarkers("a", None))
    for text in ("{}", "[]", '{"results": [{"skipType": "advert"}]}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match="AniSkip"):
            markers.read_aniskip(tmp_path / "a.json", "a")


# ---------------------------------------------------------------- chapters, without tools


@pytest.mark.parametrize(("title", "kind"), [
    ("Opening", "opening"), ("OP", "opening"), ("OP 2", "opening"), ("Opening Theme 1", "opening"),
    ("Intro", "opening"), ("NCED", "ending"), ("End Credits", "ending"), ("ED1", "ending"),
    ("エンディング", "ending"), ("片头", "opening"),
    ("Recap", "recap"), ("Preview", "preview"), ("次回予告", "preview"), ("Next Episode Preview", "preview"),
    ("Vorspann", "opening"), ("Générique de fin", "ending"), ("Créditos", "ending"), ("Was bisher geschah", "recap"),
    ("Prochain épisode", "preview"), ("前回のあらすじ", "recap"), ("オープニングテーマ", "opening"),
    ("Part A", None), ("A Sad Ending", None), ("Operation", None), ("Education", None), ("Episode", None), ("", None),
    ("Chapter 1", None), ("The Opening of the Gate", None), ("Editor's cut", None), ("Avant", None), ("Eyecatch", None),
])
def test_a_title_tells_a_type_only_where_it_says_nothing_else(title, kind):
    assert chapters.type_of_title(title) == kind


def test_markers_become_chapters_that_players_end_where_the_marker_ends():
    whole = chapters.merged([], SHORT)
    assert [(c.start, c.title) for c in whole] == list(zip(STARTS, TITLES, strict=True))
    assert [c.end for c in whole] == [*STARTS[1:], 20.0]


def test_existing_chapters_are_kept_and_those_of_a_marker_are_not_doubled():
    existing = [Chapter(0.3, 2.2, "Part A"), Chapter(2.2, 9.0, "Chapter 2"), Chapter(11.0, 16.0, "ED", "ending")]
    whole = chapters.merged(existing, SHORT)
    assert [(c.start, c.title) for c in whole] == [
        (0.3, "Part A"), (2.2, "Chapter 2"), (2.2, "Opening"), (5.5, "Episode"), (11.0, "ED"), (15.0, "Episode")]
    assert chapters.added_chapters(existing, EpisodeMarkers("a", 20.0)) == []
    assert chapters.remarks(existing, SHORT) == []
    remark, = chapters.remarks([Chapter(4.5, None, "x")], SHORT)
    assert "'x' at 4.500 s lies within the opening" in remark


def test_ffmetadata_reads_back_by_ffmpeg_whatever_the_title(tmp_path):
    odd = [Chapter(0.0, 1.5, "a=b;c#d\\e"), Chapter(1.5, 3.0, "二")]
    (tmp_path / "a.txt").write_text(chapters.ffmetadata_text(odd))
    assert read_chapters(tmp_path / "a.txt") == odd
    chapters.save_ffmetadata(tmp_path / "b.txt", SHORT)
    assert [(c.start, c.title) for c in read_chapters(tmp_path / "b.txt")] == list(zip(STARTS, TITLES, strict=True))


# ---------------------------------------------------------------- chapters in files


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A file of 20 s by its suffix; a test copies it."""
    folder = tmp_path_factory.mktemp("media")
    for suffix in ("mkv", "mp4"):
        write_media(folder / f"a.{suffix}", [numbered_picture(i) for i in range(20)], fps=1, sound=tone(20, 8000),
                    sound_rate=8000)
    return folder


def copied(media: Path, tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    shutil.copy(media / f"a{path.suffix}", path)
    return path


def give_chapters(path: Path, found: list[dict]) -> None:
    """Have mkvpropedit put chapters with these elements into a file."""
    atoms = "".join("<ChapterAtom>" + "".join(f"<{k}>{v}</{k}>" for k, v in atom.items() if k != "title")
                    + f"<ChapterDisplay><ChapterString>{atom['title']}</ChapterString><ChapterLanguage>ger"
                    "</ChapterLanguage></ChapterDisplay></ChapterAtom>" for atom in found)
    xml = path.with_suffix(".xml")
    xml.write_text(f'<?xml version="1.0"?>\n<Chapters><EditionEntry>{atoms}</EditionEntry></Chapters>')
    subprocess.run(["mkvpropedit", "-q", path, "--chapters", xml], check=True)


def extracted(path: Path) -> str:
    return subprocess.run(["mkvextract", path, "chapters"], check=True, capture_output=True, text=True).stdout


def packets(path: Path) -> list[tuple]:
    with av.open(str(path)) as container:
        return [(p.stream.type, p.pts and float(p.pts * p.time_base), bytes(p)) for p in container.demux()
                if p.dts is not None and p.stream.type != "data"]


@MKVTOOLNIX
def test_matroska_gets_chapters_in_place_with_ends_and_skip_types(media, tmp_path):
    path = copied(media, tmp_path, "@葬送 (1).mkv")
    before = packets(path)
    shown = chapters.write_matroska(path, SHORT)
    assert "+ 0:00:02.000  Opening" in shown
    info = subprocess.run(["mkvinfo", "--all", path], check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout
    found = [line.split(": ", 1)[1] for line in info.splitlines() if "Chapter time" in line or "skip type" in line]
    assert found[3:6] == ["00:00:02.000000000", "00:00:05.500000000", "1 (opening credits)"]
    assert found[9:12] == ["00:00:12.000000000", "00:00:15.000000000", "2 (end credits)"]
    assert [(c.start, c.title) for c in read_chapters(path)] == list(zip(STARTS, TITLES, strict=True))
    assert packets(path) == before


@MKVTOOLNIX
def test_existing_matroska_chapters_stay_to_the_letter_and_undo_takes_ours_back(media, tmp_path):
    path = copied(media, tmp_path, "a.mkv")
    give_chapters(path, [
        {"ChapterTimeStart": "00:00:00.000000000", "ChapterUID": 11, "title": "Teil &lt;A&gt;"},
        {"ChapterTimeStart": "00:00:09.000000000", "ChapterFlagHidden": 1, "ChapterUID": 12, "title": "versteckt"},
    ])
    before = extracted(path)
    chapters.write_matroska(path, SHORT)
    assert chapters.before_path(path).read_text() == before.lstrip("\ufeff").strip()
    after = extracted(path)
    assert all(part in after for part in ("Teil &lt;A&gt;", "versteckt", "ChapterUID>11<", "ChapterUID>12<", ">ger<"))
    assert [c.title for c in read_chapters(path)] == [
        "Teil <A>", "Opening", "Episode", "versteckt", "Ending", "Episode"]
    moved = EpisodeMarkers("a", 20.0, (Marker("opening", 3.0, 6.0),))
    shown = chapters.write_matroska(path, moved)
    assert "- 0:00:02.000  Opening" in shown and "+ 0:00:03.000  Opening" in shown and "= 0:00:00.000  Teil" in shown
    assert [c.title for c in read_chapters(path)] == ["Teil <A>", "Opening", "Episode", "versteckt"]
    chapters.undo_matroska(path)
    assert extracted(path) == before and not chapters.before_path(path).exists()


@MKVTOOLNIX
def test_a_dry_run_and_a_second_call_write_nothing(media, tmp_path):
    path = copied(media, tmp_path, "a.mkv")
    before = path.read_bytes()
    assert "Opening" in chapters.write_matroska(path, SHORT, dry_run=True)
    assert path.read_bytes() == before and not chapters.before_path(path).exists()
    chapters.write_matroska(path, SHORT)
    os.utime(path, (1, 1))
    chapters.write_matroska(path, SHORT)
    assert path.stat().st_mtime == 1
    chapters.undo_matroska(path)
    assert read_chapters(path) == []


@MKVTOOLNIX
def test_ordered_chapters_and_files_that_are_not_whole_are_left_alone(media, tmp_path):
    path = copied(media, tmp_path, "a.mkv")
    xml = tmp_path / "c.xml"
    xml.write_text('<?xml version="1.0"?>\n<Chapters><EditionEntry><EditionFlagOrdered>1</EditionFlagOrdered>'
                   "<ChapterAtom><ChapterTimeStart>"
                   "00:00:00.0</ChapterTimeStart><ChapterTimeEnd>00:00:09.0</ChapterTimeEnd></ChapterAtom>"
                   "</EditionEntry></Chapters>")
    subprocess.run(["mkvpropedit", "-q", path, "--chapters", xml], check=True)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes((media / "a.mkv").read_bytes()[:20_000])
    for file, told in ((path, "ordered"), (cut, "whole file"), (copied(media, tmp_path, "a.mp4"), "expected Matroska")):
        before = file.read_bytes()
        with pytest.raises(UserError, match=told):
            chapters.write_matroska(file, SHORT)
        assert file.read_bytes() == before


@MKVTOOLNIX
def test_a_matroska_copy_has_the_same_packets_and_the_chapters_and_the_source_stays(media, tmp_path):
    source, target = copied(media, tmp_path, "a.mkv"), tmp_path / "b.mkv"
    before = source.read_bytes()
    assert "+ 0:00:02.000  Opening" in chapters.copy_matroska(source, target, SHORT, dry_run=True)
    assert not target.exists()
    chapters.copy_matroska(source, target, SHORT)
    assert [(c.start, c.title) for c in read_chapters(target)] == list(zip(STARTS, TITLES, strict=True))
    assert packets(target) == packets(source) and source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "b.mkv"]
    copied_before = target.read_bytes()
    for wrong in (target, source):
        with pytest.raises(UserError, match="exists already"):
            chapters.copy_matroska(source, wrong, SHORT)
    assert target.read_bytes() == copied_before and source.read_bytes() == before


def test_without_mkvtoolnix_the_message_says_how_to_get_it(media, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    source = copied(media, tmp_path, "a.mkv")
    with pytest.raises(UserError, match="apt-get install mkvtoolnix"):
        chapters.write_matroska(source, SHORT)
    with pytest.raises(UserError, match=r"a\.mkv: .*apt-get install mkvtoolnix"):
        chapters.copy_matroska(source, tmp_path / "b.mkv", SHORT)
    assert not (tmp_path / "b.mkv").exists()


def test_an_mp4_copy_has_the_same_packets_and_the_chapters(media, tmp_path):
    source, first, second = copied(media, tmp_path, "a.mp4"), tmp_path / "b.mp4", tmp_path / "c.mp4"
    assert "+ 0:00:02.000  Opening" in chapters.copy_mp4(source, first, SHORT, dry_run=True)
    assert not first.exists()
    chapters.copy_mp4(source, first, EpisodeMarkers("a", 20.0, (Marker("opening", 2.0, 5.5),)))
    chapters.copy_mp4(first, second, SHORT)      # the first one's chapters are kept, and not as a data track
    assert [(c.start, c.title) for c in read_chapters(second)] == list(zip(STARTS, TITLES, strict=True))
    assert packets(second) == packets(source)
    with av.open(str(second)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "data"]
    before = second.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        chapters.copy_mp4(source, second, SHORT)
    assert second.read_bytes() == before


def test_an_mp4_copy_keeps_subtitles_cover_and_rotation_and_its_chapters_are_right_beside_them(media, tmp_path):
    """With these subtitles, ffmpeg's own time base is 1/882,000,000 s, in which a chapter's length overflows."""
    lines, source, target = tmp_path / "s.srt", tmp_path / "full.mp4", tmp_path / "out.mp4"
    lines.write_text("1\n00:00:01,000 --> 00:00:03,000\nHello\n")
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", media / "a.mp4",
                    "-i", lines, "-f", "lavfi", "-i", "testsrc=s=32x32:d=0.04:r=25", "-map", "0", "-map", "1", "-map",
                    "2", "-c", "copy", "-c:a", "aac", "-ar", "44100", "-c:s", "mov_text", "-c:v:1", "mjpeg",
                    "-disposition:v:1", "attached_pic", "-video_track_timescale", "16000",
                    "-metadata:s:a:0", "language=jpn", "-metadata", "title=T", source], check=True)
    chapters.copy_mp4(source, target, SHORT)
    assert [(c.start, c.title) for c in read_chapters(target)] == list(zip(STARTS, TITLES, strict=True))
    with av.open(str(source)) as before, av.open(str(target)) as after:
        track = next(stream for stream in after.streams if stream.type == "data")      # the chapters, for QuickTime
        assert [round(float(entry.timestamp * track.time_base), 3) for entry in track.index_entries] == STARTS
        assert after.metadata["title"] == "T" and after.streams.audio[0].language == "jpn"
        assert [s.type for s in after.streams if s.type != "data"] == [s.type for s in before.streams]
        assert next(after.decode(video=0)).rotation == next(before.decode(video=0)).rotation != 0


def test_what_is_no_mp4_or_cut_off_gives_no_copy(media, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((media / "a.mp4").read_bytes()[:9000])
    for source in (cut, media / "a.mkv", tmp_path / "missing.mp4"):
        with pytest.raises(UserError, match=source.name):
            chapters.copy_mp4(source, tmp_path / "out.mp4", SHORT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.mp4"]


@MPV
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_mpv_lists_the_chapters_and_its_skip_rule_lands_at_the_end(media, tmp_path, suffix):
    path = copied(media, tmp_path, f"a.{suffix}")
    if suffix == "mkv":
        if not shutil.which("mkvpropedit"):
            pytest.skip("mkvtoolnix is not installed (Debian's package mkvtoolnix)")
        chapters.write_matroska(path, SHORT)
    else:
        path = tmp_path / "copy.mp4"
        chapters.copy_mp4(media / "a.mp4", path, SHORT)
    script = tmp_path / "show.lua"
    script.write_text('local u = require "mp.utils"\nmp.register_event("file-loaded", function() io.write("FOUND", '
                      'u.format_json(mp.get_property_native("chapter-list")), "\\n") mp.command("quit") end)\n')
    out = subprocess.run(["mpv", "--no-config", "--vo=null", "--ao=null", f"--script={script}", path],
                         capture_output=True, text=True, timeout=60).stdout
    found = json.loads(out.split("FOUND")[1].splitlines()[0])
    assert [(round(c["time"], 3), c["title"]) for c in found] == list(zip(STARTS, TITLES, strict=True))


# ---------------------------------------------------------------- files beside a video


def test_what_was_there_before_comes_back_whatever_it_was(tmp_path):
    new, old = tmp_path / "new.edl", tmp_path / "old.edl"
    old.write_bytes(b"1 2 3\xff")
    assert kept.write_kept(new, "a", dry_run=True) == f"{new}: new\n  a\n" and not new.exists()
    kept.write_kept(new, "a")
    kept.write_kept(old, "a", replace=True)
    for path in (new, old):
        kept.write_kept(path, "b")       # a later run
        assert path.read_text() == "b"
        kept.undo_kept(path)
    assert not new.exists() and old.read_bytes() == b"1 2 3\xff"
    assert [path.name for path in tmp_path.iterdir()] == ["old.edl"]
    with pytest.raises(UserError, match="nothing is recorded"):
        kept.undo_kept(old)


def test_a_persons_file_is_never_overwritten(tmp_path):
    path = tmp_path / "a.edl"
    path.write_text("by hand")
    with pytest.raises(UserError, match="someone else"):
        kept.write_kept(path, "ours")
    assert path.read_text() == "by hand"
    path.unlink()
    kept.write_kept(path, "ours")
    path.write_text("corrected")
    for act in (lambda: kept.write_kept(path, "ours again"), lambda: kept.undo_kept(path)):
        with pytest.raises(UserError, match="someone else"):
            act()
    assert path.read_text() == "corrected"


def test_killed_between_record_and_file_a_later_run_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "a.edl"
    kept.write_kept(path, "first")
    monkeypatch.setattr(kept, "save_text", lambda place, text: place.write_text(text) if place != path else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kept.write_kept(path, "second")
    monkeypatch.undo()
    kept.write_kept(path, "third")
    assert path.read_text() == "third"
    kept.undo_kept(path)
    assert not path.exists()


def test_a_damaged_record_is_told_and_the_file_stays(tmp_path):
    path = tmp_path / "a.edl"
    kept.write_kept(path, "ours")
    for text in ("{", "[]", '{"before": "%", "written": []}'):
        kept.record_path(path).write_text(text)
        with pytest.raises(UserError, match="damaged"):
            kept.undo_kept(path)
    assert path.read_text() == "ours"
