"""Bad files, comments that allow, packages: what a review refuses, passes over and compares."""

from pathlib import Path

import pytest

from verifluxa.errors import DataError, UsageError
from verifluxa.triage.review import tree
from verifluxa.triage.review.run import review


def one(tmp_path: Path, text: str | bytes, name: str = "train.jl") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def rules(found) -> list[str]:
    return [item.rule.name for item in found.open]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x = 1\n\0", "binary"),
        (b"x = '\xff'\n", "UTF-8"),
        (b"#" * (tree.MOST_BYTES + 1), "bytes"),
    ],
)
def test_what_is_no_text_is_refused_and_the_others_are_reviewed(tmp_path, content, words) -> None:
    bad, good = one(tmp_path, content), one(tmp_path, "eval(x)\n", "good.jl")
    found = review([bad, good])
    assert [error.code for error in found.refused] == ["VF8051"]
    assert words in str(found.refused[0])
    assert rules(found) == ["eval"]


@pytest.mark.parametrize("name", ["spec.vfx", "train", "train.jl.txt"])
def test_what_is_not_called_julia_is_refused(tmp_path, name) -> None:
    (error,) = review([one(tmp_path, "eval(x)\n", name)]).refused
    assert error.code == "VF8051"
    assert "does not end in .jl" in str(error)


def test_a_missing_file_is_refused(tmp_path) -> None:
    assert [error.code for error in review([str(tmp_path / "gone.jl")]).refused] == ["VF8051"]


def test_an_empty_folder_has_nothing_to_review(tmp_path) -> None:
    with pytest.raises(UsageError, match="0 files"):
        review([str(tmp_path)])


def test_a_folder_stands_for_its_files(tmp_path) -> None:
    one(tmp_path, "eval(x)\n", "a.jl")
    one(tmp_path, "no julia", "b.txt")
    assert len(review([str(tmp_path)]).files) == 1


def test_text_that_parses_without_end_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tree, "MOST_SECONDS", 0.05)
    found = review([one(tmp_path, "#=" * 100_000)])
    assert [error.code for error in found.refused] == ["VF8052"]


@pytest.mark.parametrize("code", ["-" * 100_000 + "x", "a." * 50_000 + "b", "(" * 20_000 + "x" + ")" * 20_000])
def test_deep_nesting_is_bounded_and_said(tmp_path, code) -> None:
    assert "nesting" in rules(review([one(tmp_path, code)]))


def test_what_parses_beside_a_broken_part_is_reviewed(tmp_path) -> None:
    found = review([one(tmp_path, "a = 1\nh(x) = )\nf(x) = eval(x)\n")])
    assert [(item.span.line, item.rule.name) for item in found.open] == [(2, "syntax"), (3, "eval")]


def test_without_tree_sitter_the_message_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tree_sitter_julia", None)
    with pytest.raises(UsageError, match="tree-sitter") as caught:
        review([one(tmp_path, "x = 1\n")])
    assert caught.value.code == "VF8050"
    assert "verifluxa[review]" in str(caught.value)


def test_a_comment_with_a_reason_allows_its_line_and_the_next(tmp_path) -> None:
    found = review([one(tmp_path, "eval(x) # verifluxa: allow eval: a calculator for tests\neval(y)\n")])
    assert [item.span.line for item in found.open] == [2]
    assert [item.reason for item in found.findings] == ["a calculator for tests", None]
    above = review([one(tmp_path, "# verifluxa: allow eval: a calculator for tests\neval(x)\n")])
    assert rules(above) == []


def test_a_comment_without_a_reason_allows_nothing(tmp_path) -> None:
    assert rules(review([one(tmp_path, "eval(x) # verifluxa: allow eval\n")])) == ["eval", "allow-without-reason"]
    other = review([one(tmp_path, "eval(x) # verifluxa: allow evil: a calculator for tests\n")])
    assert rules(other) == ["eval", "allow-without-reason"]


def test_a_comment_that_allows_nothing_is_said(tmp_path) -> None:
    assert rules(review([one(tmp_path, "x = 1 # verifluxa: allow eval: a calculator for tests\n")])) == ["unused-allow"]


PROJECT = """[deps]
Flux = "587475ba-b771-5e3f-ad9e-33799f191a9c"
Statistics = "10745b16-79ce-11e8-11f9-7d13ad32a3b2"
JLD2 = "033835bb-8acc-5ee8-8aae-3f567f8a3819"

[compat]
JLD2 = "0.5"
"""
MANIFEST = """julia_version = "1.10.4"
manifest_format = "2.0"

[[deps.Flux]]
git-tree-sha1 = "{hash}"
uuid = "587475ba-b771-5e3f-ad9e-33799f191a9c"
version = "0.16.7"

[[deps.Statistics]]
uuid = "10745b16-79ce-11e8-11f9-7d13ad32a3b2"
"""
HASH = "1" * 40


def test_a_package_without_a_version_is_found_unless_a_manifest_fixes_it(tmp_path) -> None:
    project = one(tmp_path, PROJECT, "Project.toml")
    found = review([project])
    assert [(item.span.line, item.rule.name, item.detail) for item in found.open] == [(2, "unpinned-package", "Flux")]
    one(tmp_path, MANIFEST.format(hash=HASH), "Manifest.toml")
    assert rules(review([project])) == []


def test_packages_from_folders_and_addresses_are_found(tmp_path) -> None:
    entries = """
[[deps.Mine]]
path = "../Mine"
uuid = "00000000-0000-0000-0000-000000000001"

[[deps.Fork]]
git-tree-sha1 = "2222222222222222222222222222222222222222"
repo-rev = "main"
repo-url = "https://example.org/Fork.jl"
uuid = "00000000-0000-0000-0000-000000000002"

[[deps.Odd]]
uuid = "00000000-0000-0000-0000-000000000003"
version = "1.0.0"
"""
    found = review([one(tmp_path, MANIFEST.format(hash=HASH) + entries, "Manifest.toml")])
    assert [(item.span.line, item.rule.name) for item in found.open] == [
        (12, "folder-package"),
        (16, "address-package"),
        (22, "no-hash"),
    ]


def test_hashes_are_compared_with_a_lock(tmp_path) -> None:
    lock = one(tmp_path, MANIFEST.format(hash=HASH), "lock.toml")
    changed = one(tmp_path, MANIFEST.format(hash="2" * 40), "Manifest.toml")
    assert rules(review([changed], lock)) == ["changed-hash"]
    newer = one(tmp_path, MANIFEST.format(hash="2" * 40).replace("0.16.7", "0.16.8"), "Manifest.toml")
    assert rules(review([newer], lock)) == ["changed-version"]
    same = one(tmp_path, MANIFEST.format(hash=HASH), "Manifest.toml")
    assert rules(review([same], lock)) == []


def test_a_lock_needs_a_manifest_to_compare(tmp_path) -> None:
    lock = one(tmp_path, MANIFEST.format(hash=HASH), "lock.toml")
    with pytest.raises(UsageError, match="--against"):
        review([one(tmp_path, "x = 1\n")], lock)


def test_broken_toml_is_refused(tmp_path) -> None:
    assert [error.code for error in review([one(tmp_path, "[deps\n", "Project.toml")]).refused] == ["VF8053"]
    with pytest.raises(DataError, match="TOML"):
        review([one(tmp_path, MANIFEST, "Manifest.toml")], one(tmp_path, "[", "lock.toml"))
