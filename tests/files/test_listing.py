from cut3r.files.listing import visible


def test_hidden_files_and_folders_are_left_out(tmp_path):
    for name in ("b/1.png", "a/1.png", "a/._1.png", ".trash/1.png", "a/.cache/2.png", "__MACOSX/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert visible(tmp_path, "*/*.png") == [tmp_path / "a/1.png", tmp_path / "b/1.png"]
    assert visible(tmp_path, "**/*.png") == [tmp_path / "a/1.png", tmp_path / "b/1.png"]


def test_only_what_lies_below_counts(tmp_path):
    folder = tmp_path / ".hidden"
    folder.mkdir()
    (folder / "1.png").touch()
    assert visible(folder, "*.png") == [folder / "1.png"]


def test_an_absent_folder_holds_nothing(tmp_path):
    assert visible(tmp_path / "absent", "*") == []
