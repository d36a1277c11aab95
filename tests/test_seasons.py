"""Which files are the episodes of which season: real forms of names, folders, and files that tell nothing."""

import random
from pathlib import Path

import pytest

from datatools.errors import UserError
from episodes.seasons import KINDS, find_videos, group_seasons, read_name

# Below a library's folder "Anime": series, season, numbers, kind where it is no episode, version where it is not 1.
NAMES = [
    # fansubs
    ("[SubsPlease] Sousou no Frieren - 05 (1080p) [5FE3D1C9].mkv", "Sousou no Frieren", None, 5),
    ("[Erai-raws] Jujutsu Kaisen 2nd Season - 12 [1080p][Multiple Subtitle].mkv", "Jujutsu Kaisen", 2, 12),
    ("[HorribleSubs] One Punch Man S2 - 03 [720p].mkv", "One Punch Man", 2, 3),
    ("Monogatari Series Second Season - 26.mkv", "Monogatari Series", 2, 26),
    ("Kaguya-sama wa Kokurasetai Season 3 - 02.mkv", "Kaguya-sama wa Kokurasetai", 3, 2),
    ("[Coalgirls]_Hyouka_01_(1920x1080_Blu-ray_FLAC)_[F1C3AF2A].mkv", "Hyouka", None, 1),
    ("[Commie] Steins;Gate - 01v2 [9ED3F4C1].mkv", "Steins;Gate", None, 1, "episode", 2),
    ("[Group] Steins;Gate 0 - 03 [1080p].mkv", "Steins;Gate 0", None, 3),
    ("[a4e]Ergo_Proxy_03[divx5.2.1].mkv", "Ergo Proxy", None, 3),
    ("[Triad]_Toward_the_Terra_-_04.v2_[AC2D6A1B].avi", "Toward the Terra", None, 4, "episode", 2),
    ("[SubsPlease] One Piece - 1071 (1080p) [ABCD1234].mkv", "One Piece", None, 1071),
    ("one_piece_1071.mp4", "one piece", None, 1071),
    ("Gintama' - 252.mkv", "Gintama'", None, 252),
    ("86 - Eighty Six - 03.mkv", "86 - Eighty Six", None, 3),
    ("[A-FanRips]86_-_Eighty_Six_-_03_[1080p].mkv", "86 - Eighty Six", None, 3),
    ("[Group]_30-sai_no_Hoken_Taiiku_-_05_[720p][AB12CD34].mkv", "30-sai no Hoken Taiiku", None, 5),
    ("3-gatsu no Lion - 07.mkv", "3-gatsu no Lion", None, 7),
    ("[SubsPlease] 16bit Sensation - 03 (720p).mkv", "16bit Sensation", None, 3),
    ("Mob Psycho 100 II - 05.mkv", "Mob Psycho 100 II", None, 5),
    ("[Group] Macross 7 12 [DVD].mkv", "Macross 7", None, 12),
    ("Persona 5 The Animation - 26.5.mkv", "Persona 5 The Animation", None, 26.5),
    ("[Moozzi2] K-ON!! - 24 END (BD 1920x1080 x.264 Flac).mkv", "K-ON!!", None, 24),
    ("[Anime Time] Naruto - 001 - Enter! Naruto Uzumaki.mkv", "Naruto", None, 1),
    ("[Leopard-Raws] Kino no Tabi (2017) 01 RAW (BS11 1280x720 x264 AAC).mp4", "Kino no Tabi (2017)", None, 1),
    ("Bleach TYBW Part 2 - 05.mkv", "Bleach TYBW Part 2", None, 5),
    ("Dragon.Ball.KAI.-.01.-.1080p.BluRay.x264.DHD.mkv", "Dragon Ball KAI", None, 1),
    ("Aim_For_The_Top!_Gunbuster-ep1.BD(H264.FLAC.10bit)[KAA][69ECCDCF].mkv", "Aim For The Top! Gunbuster", None, 1),
    # Chinese and Japanese groups
    ("【喵萌奶茶】★10月新番★[葬送的芙莉莲／Sousou no Frieren][07][1080p][简体].mp4", "Sousou no Frieren", None, 7),
    ("【动漫国字幕组】★01月新番[药屋少女的呢喃 第二季][05][1080P][简体][MP4].mp4", "药屋少女的呢喃", 2, 5),
    ("[DMG][Boku no Hero Academia][S3][08][720P][GB].mp4", "Boku no Hero Academia", 3, 8),
    ("[Airota][Kimetsu no Yaiba][Yuukaku-hen][05][1080p AVC AAC].mp4", "Kimetsu no Yaiba Yuukaku-hen", None, 5),
    ("[Nekomoe kissaten][Spy x Family][13v2][1080p][JPSC].mp4", "Spy x Family", None, 13, "episode", 2),
    ("[Sakurato.sub][Lycoris Recoil][13 END][GB][1080P].mp4", "Lycoris Recoil", None, 13),
    ("[LKSUB][Tensei Shitara Slime][S2][24.5][GB][1080P].mp4", "Tensei Shitara Slime", 2, 24.5),
    ("[桜都字幕组] 无职转生 第二季 ／ Mushoku Tensei S2 [05][1080p][简体内嵌].mp4", "Mushoku Tensei", 2, 5),
    ("[NC-Raws] 间谍过家家 ／ SPY×FAMILY - 03 [B-Global][WEB-DL][1080p].mkv", "SPY×FAMILY", None, 3),
    ("[ANi] 我推的孩子 第三季 - 05 [1080P][Baha][WEB-DL][AAC AVC][CHT].mp4", "我推的孩子", 3, 5),
    ("[VCB-Studio] Fate Zero [13][Ma10p_1080p][x265_flac].mkv", "Fate Zero", None, 13),
    ("[Mobile Suit Gundam Seed HD REMASTER][07][Big5][720p].mp4", "Mobile Suit Gundam Seed HD REMASTER", None, 7),
    ("鬼灭之刃 第二季 第3集.mp4", "鬼灭之刃", 2, 3),
    ("葬送的芙莉莲/第05话.mp4", "葬送的芙莉莲", None, 5),
    ("「K」 第13話.mp4", "K", None, 13),
    ("Show 第12話「タイトル」.mkv", "Show", None, 12),
    # scene and western releases
    ("Attack.on.Titan.S04E28.The.Dawn.of.Humanity.1080p.CR.WEB-DL.AAC2.0.H.264-VARYG.mkv", "Attack on Titan", 4, 28),
    ("Vinland.Saga.S02.E05.1080p.NF.WEB-DL.mkv", "Vinland Saga", 2, 5),
    ("Ghost in the Shell SAC_2045 - S02E01.mkv", "Ghost in the Shell SAC 2045", 2, 1),
    ("Space.Dandy.S01E01.REPACK.1080p.mkv", "Space Dandy", 1, 1),
    ("[Group] Show S01E05v2 [1080p].mkv", "Show", 1, 5, "episode", 2),
    ("Cowboy Bebop 1x05.avi", "Cowboy Bebop", 1, 5),
    ("Cowboy Bebop 1x05v2.avi", "Cowboy Bebop", 1, 5, "episode", 2),
    ("Cowboy Bebop 1x05 v2.avi", "Cowboy Bebop", 1, 5, "episode", 2),
    ("Naruto Shippuden Episode 045 English Subbed.mp4", "Naruto Shippuden", None, 45),
    ("hdtv-show.name.s05e10.mkv", "show name", 5, 10),
    ("Show (2019)/Season 2/Show (2019) - S02E03 - Title.mkv", "Show (2019)", 2, 3),
    # several episodes in one file
    ("Show Name - S01E01-E02 - Two Parts.mkv", "Show Name", 1, (1, 2)),
    ("Show.Name.S02E05E06.720p.HDTV.x264-GRP.mkv", "Show Name", 2, (5, 6)),
    ("[Group] Show Name - 01-02 [1080p].mkv", "Show Name", None, (1, 2)),
    ("[Seto_Otaku]_AIR_ep_03-04.mkv", "AIR", None, (3, 4)),
    ("[DBD-Raws][Gintama][001-003][1080P].mkv", "Gintama", None, (1, 2, 3)),
    # what only the folders tell
    ("Show Name/Season 01/05.mkv", "Show Name", 1, 5),
    ("Show Name/S2/E05.mkv", "Show Name", 2, 5),
    ("Show/第2季/05.mkv", "Show", 2, 5),
    ("Show/05 - The Title.mkv", "Show", None, 5),
    ("Show/05 - 91 Days Later.mkv", "Show", None, 5),
    ("Show/Ep. 05 - Whatever.mkv", "Show", None, 5),
    ("[Group] Show S2 [BD]/Show - 05.mkv", "Show", 2, 5),
    # specials
    ("Show Name S00E03 Special.mkv", "Show Name", 0, 3, "special"),
    ("Show Name - SP2.mkv", "Show Name", 0, 2, "special"),
    ("[VCB-Studio] Fate Zero [OVA01][Ma10p_1080p].mkv", "Fate Zero", 0, 1, "special"),
    ("[Group] Show OVA - 02 [DVD].mkv", "Show", 0, 2, "special"),
    ("[Group] Show - OAD [1080p].mkv", "Show", 0, (), "special"),
    ("Show/Specials/Show - 01.mkv", "Show", 0, 1, "special"),
    ("[Group] Special A - 05 [DVD].mkv", "Special A", None, 5),
    ("My Special Day - 03.mkv", "My Special Day", None, 3),
    # movies
    ("Your Name (2016) [1080p].mkv", "Your Name (2016)", None, (), "movie"),
    ("Akira.1988.REMASTERED.1080p.BluRay.x264.mkv", "Akira", None, (), "movie"),
    ("[Group] Kimetsu no Yaiba - Mugen Ressha-hen (Movie) [BD].mkv", "Kimetsu no Yaiba - Mugen Ressha-hen", None, (),
     "movie"),
    ("Detective Conan Movie 23 - The Fist.mkv", "Detective Conan Movie 23 - The Fist", None, (), "movie"),
    ("Evangelion_Shin_Gekijouban_Q_[1080p].mkv", "Evangelion Shin Gekijouban Q", None, (), "movie"),
    ("Movies/Akira.mkv", "Akira", None, (), "movie"),
    # extras
    ("[VCB-Studio] Fate Zero [NCOP][Ma10p_1080p][x265_flac].mkv", "Fate Zero", None, (), "extra"),
    ("[Group] Title - NCED 2 [BD 1080p].mkv", "Title", None, (), "extra"),
    ("[Group] Show - Opening 1.mkv", "Show", None, (), "extra"),
    ("[Group] Show - PV3 [1080p].mkv", "Show", None, (), "extra"),
    ("[Group] Show - Trailer.mkv", "Show", None, (), "extra"),
    ("[Group] Show [Menu].mkv", "Show", None, (), "extra"),
    ("Show/Extras/Show - 01.mkv", "Show", None, 1, "extra"),
    # names that hold nothing
    ("video.mkv", "video", None, (), "unknown"),
    ("New Recording 3.mp4", "New Recording 3", None, (), "unknown"),
    ("holiday 2019-05-03.mp4", "holiday", None, (), "unknown"),
    ("IMG_20230501_120000.mp4", "Anime", None, (), "unknown"),
    ("DSC_0001.MOV", "Anime", None, (), "unknown"),
    ("00001.m2ts", "Anime", None, (), "unknown"),
    ("Disc 1/BDMV/STREAM/00003.m2ts", "Disc 1", None, (), "unknown"),
    ("VTS_01_1.VOB", "Anime", None, (), "unknown"),
    ("[].mkv", "Anime", None, (), "unknown"),
    ("1080p.mkv", "Anime", None, (), "unknown"),
    ("___.mkv", "Anime", None, (), "unknown"),
    ("Evangelion 1.11 You Are (Not) Alone.mkv", "Evangelion 1", None, (), "unknown"),
    ("The iDOLM@STER 765 Pro to Iu Monogatari.mkv", "The iDOLM@STER", None, (), "unknown"),
]


@pytest.mark.parametrize("case", NAMES, ids=[case[0] for case in NAMES])
def test_a_name_tells(case):
    name, series, season, numbers, kind, version = (*case, *("episode", 1)[len(case) - 4:])
    numbers = numbers if isinstance(numbers, tuple) else (numbers,)
    found = read_name(Path("/library/Anime") / name)
    assert (found.series, found.season, found.numbers, found.kind, found.version) == (
        series, season, numbers, kind, version)


def test_no_name_whatever_is_an_error():
    """Names of pieces that parsers trip over; aniparse fails on some of these in ways of its own."""
    pieces = ["[", "]", "(", " ", "-", "_", ".", "S", "E", "05", "1", "第", "话", "季", "★", "Ep", "OVA", "Movie",
              "2019", "1080p", "x", "é", "٣", "²", "①", "Show", "~", "00", "++", "- ", "\u200b", "\n", "\ud800",
              "Season"]
    dice = random.Random(5)
    for name in ["①- ①(\u200b-S00²-E", "-1080p++00", *("".join(dice.choices(pieces, k=8)) for _ in range(60))]:
        assert read_name(Path("/a") / f"{name}.mkv").kind in KINDS


def grouped(*names: str):
    """The seasons of these files as (series, number, folder, episodes), and the names of the others."""
    found = group_seasons(Path("/library") / name for name in names)
    return [(season.series, season.number, season.folder.name,
             [(episode.numbers, [file.name for file in episode.files]) for episode in season.episodes])
            for season in found.seasons], [path.name for path, _ in found.others]


def test_seasons_of_a_show_with_season_folders_and_extras():
    seasons, others = grouped("Show/Season 2/02.mkv", "Show/Season 2/10.mkv", "Show/Season 1/Show - S01E01.mkv",
                              "Show/Specials/Show - 01.mkv", "Show/Extras/NCOP.mkv", "Show/Show Movie.mkv")
    assert seasons == [
        ("Show", 1, "Show", [((1.0,), ["Show - S01E01.mkv"])]),
        ("Show", 2, "Show", [((2.0,), ["02.mkv"]), ((10.0,), ["10.mkv"])]),
        ("Show", 0, "Show", [((1.0,), ["Show - 01.mkv"])]),
    ]
    assert others == ["NCOP.mkv", "Show Movie.mkv"]


def test_two_shows_in_one_folder_are_two_seasons_and_spelling_does_not_matter():
    seasons, others = grouped("[A] One Show - 01.mkv", "[A] One_Show_-_02.mkv", "one.show.S01E03.mkv",
                              "Other (2001) - 01.mkv", "Other (2019) - 01.mkv")
    assert [(series, len(episodes)) for series, _, _, episodes in seasons] == [
        ("Other (2001)", 1), ("Other (2019)", 1), ("One Show", 3)]
    assert not others


def test_two_versions_are_one_episode_the_newest_first():
    seasons, _ = grouped("[A] Show - 01 [720p].mkv", "[A] Show - 01v2 [1080p].mkv", "[A] Show - 01-02.mkv")
    (_, _, _, episodes), = seasons
    assert episodes == [((1.0,), ["[A] Show - 01v2 [1080p].mkv", "[A] Show - 01 [720p].mkv"]),
                        ((1.0, 2.0), ["[A] Show - 01-02.mkv"])]


def test_files_without_numbers_are_a_season_of_their_folder_only_together():
    seasons, others = grouped("A/The Beginning.mkv", "A/The End.mkv", "B/video.mkv")
    assert seasons == [("The Beginning", None, "A", [((), ["The Beginning.mkv"]), ((), ["The End.mkv"])])]
    assert others == ["video.mkv"]


def test_videos_are_found_once_and_in_natural_order(tmp_path):
    for name in ("10.mkv", "2.MKV", "a.srt", ".hidden.mkv", ".trash/3.mkv", "sub/1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_videos([tmp_path, tmp_path / "10.mkv"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["2.MKV", "10.mkv", "sub/1.mp4"]
    for wrong in ("missing", "a.srt"):
        with pytest.raises(UserError, match=wrong):
            find_videos([tmp_path / wrong])
