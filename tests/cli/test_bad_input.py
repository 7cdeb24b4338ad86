"""Bad input: one clear message, the right exit code, no traceback, nothing half-written."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def refused(verifluxa, here):
    """Runs `verify` with a folder for the result; the folder must not appear."""

    def call(*arguments):
        before = set(here.rglob("*"))
        ran = verifluxa("verify", *arguments, "--out", "out")
        assert set(here.rglob("*")) == before
        assert ran.out == ""
        assert "Traceback" not in ran.err
        return ran

    return call


def replaced(small: Path, old: str, new: str) -> Path:
    text = small.read_text()
    assert old in text
    small.write_text(text.replace(old, new))
    return small


def data_file(small: Path, **arrays) -> tuple[str, str]:
    np.savez(small.parent / "other.npz", **arrays)
    return ("--data", f"eval={small.parent / 'other.npz'}")


IMAGES = np.zeros((12, 28, 28), dtype=np.uint8)
LABELS = np.zeros(12, dtype=np.uint8)


def test_a_missing_model(refused, small, snapshot):
    ran = refused(small, "--model", "digits=gone.jld2")
    assert (ran.code, ran.err) == (4, snapshot)


def test_a_truncated_model(refused, small, snapshot):
    Path("short.jld2").write_bytes((small.parent / "clean.jld2").read_bytes()[:5000])
    ran = refused(small, "--model", "digits=short.jld2")
    assert (ran.code, ran.err) == (4, snapshot)


def test_a_model_of_another_kind(refused, small, snapshot):
    Path("picture.jld2").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    ran = refused(small, "--model", "digits=picture.jld2")
    assert (ran.code, ran.err) == (4, snapshot)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_with_nan_or_inf(refused, small, value, snapshot):
    content = (small.parent / "clean.jld2").read_bytes()
    weight = np.frombuffer(content, dtype="<f4", offset=len(content) % 4)
    ordinary = np.flatnonzero((np.abs(weight) > 1e-3) & (np.abs(weight) < 1.0))
    changed = weight.copy()
    changed[ordinary[len(ordinary) // 2]] = value
    Path("nan.jld2").write_bytes(content[: len(content) % 4] + changed.tobytes())
    ran = refused(small, "--model", "digits=nan.jld2")
    assert (ran.code, ran.err) == (4, snapshot)


def test_an_architecture_that_does_not_fit_the_arrays(refused, small, snapshot):
    (small.parent / "architecture.txt").unlink()
    (small.parent / "architecture.txt").write_text("Chain(Flux.flatten, Dense(784 => 64, relu), Dense(64 => 10))")
    ran = refused(small)
    assert (ran.code, ran.err) == (4, snapshot)


def test_a_wrong_image_size(refused, small, snapshot):
    ran = refused(small, *data_file(small, x=np.zeros((12, 27, 28), dtype=np.uint8), y=LABELS))
    assert (ran.code, ran.err) == (4, snapshot)


def test_labels_out_of_range(refused, small, snapshot):
    ran = refused(small, *data_file(small, x=IMAGES, y=np.full(12, 10, dtype=np.uint8)))
    assert (ran.code, ran.err) == (4, snapshot)


def test_no_input_left_after_where(refused, small, snapshot):
    ran = refused(small, *data_file(small, x=IMAGES, y=np.full(12, 5, dtype=np.uint8)), "--property", "universal")
    assert (ran.code, ran.err) == (4, snapshot)


def test_a_placement_outside_the_image(refused, small, snapshot):
    ran = refused(replaced(small, "at (24, 24), (0, 0)", "at (26, 24), (0, 0)"))
    assert (ran.code, ran.err) == (4, snapshot)


def test_a_property_with_nothing_to_prove(refused, small, snapshot):
    ran = refused(replaced(small, "<= max_rate", "<= 100 %"), "--property", "universal", "--set", "max_rate=100%")
    assert (ran.code, ran.err) == (4, snapshot)


def test_data_that_is_not_the_pinned_file(refused, small, snapshot):
    spec = replaced(small, '  file = "mnist_eval.npz"', f'  file = "mnist_eval.npz"\n  digest = sha256:{"0" * 64}')
    ran = refused(spec)
    assert (ran.code, ran.err) == (4, snapshot)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--property", "univeral"], "VF4402"),
        (["--model", "digit=a.jld2"], "VF4402"),
        (["--data", "evil=a.npz"], "VF4402"),
        (["--arithmetic", "float64"], "VF4011"),
        (["--strategy", "./gone.toml"], "VF4003"),
        (["--cluster", "./gone.toml"], "VF4003"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_names_and_values_that_do_not_exist(refused, small, arguments, code, snapshot):
    ran = refused(small, *arguments)
    assert ran.code == 2
    assert f"error[{code}]" in ran.err
    assert ran.err == snapshot


def test_files_that_nobody_gave(refused, small, snapshot):
    ran = refused(replaced(small, '  file = "mnist_eval.npz"\n', ""))
    assert (ran.code, ran.err) == (2, snapshot)


def test_a_folder_that_cannot_be_made(verifluxa, small):
    Path("file").touch()
    ran = verifluxa("verify", small, "--out", "file/out")
    assert ran.code == 2
    assert "error[VF4406]" in ran.err


def test_specs_that_are_no_text(refused, here):
    for name, content in (("binary.vfx", b"\xff\xfe\x00"), ("empty.vfx", b"")):
        Path(name).write_bytes(content)
        assert refused(name).code == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--set", "max_rate=lots"), 2),
        (("--set", "max_rate=1e99999"), 2),
        (("--set", "max_rate=1/0"), 2),
        (("--set", "max_rate=200%"), 2),
        (("--set", "max_rat=1%"), 2),
        (("--model", "digit=digits/clean.jld2"), 2),
        (("--data", "evil=digits/mnist_eval.npz"), 2),
        (("--property", "universl"), 2),
        (("--model", "digits=gone.jld2"), 4),
        (("--data", "eval=gone.npz"), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_was_typed_wrong_is_code_2_and_a_wrong_file_is_code_4(refused, small, arguments, code):
    ran = refused(small, *arguments)
    assert ran.code == code, ran.err


def test_a_mistake_in_the_spec_outweighs_one_on_the_command_line(refused, small):
    ran = refused(replaced(small, "forall x in clean", "forall x in claen"), "--set", "max_rate=lots")
    assert (ran.code, "VF1039" in ran.err, "VF1020" in ran.err) == (4, True, True)


def test_a_data_file_in_place_of_a_model(refused, small, snapshot):
    ran = refused(small, "--model", "digits=digits/mnist_eval.npz")
    assert (ran.code, ran.err) == (4, snapshot)


def test_images_of_another_size_than_the_model_takes(refused, small, snapshot):
    ran = refused(replaced(small, "28 px, 28 px", "28 px, 27 px"))
    assert (ran.code, ran.err) == (4, snapshot)


def test_scaled_images_say_how_to_convert_them(refused, small, snapshot):
    with np.load(small.parent / "mnist_eval.npz") as file:
        images, labels = file["x"], file["y"]
    scaled = data_file(small, x=(images / 255).astype(np.float32), y=labels)
    ran = refused(small, *scaled)
    assert (ran.code, ran.err) == (4, snapshot)
    data_file(small, x=np.round(255 * (images / 255).astype(np.float32)), y=labels)
    from verifluxa.inputs import Choice, load_inputs

    loaded = load_inputs(str(small), Choice(data={"eval": scaled[1].removeprefix("eval=")}))
    assert np.array_equal(loaded.data["eval"].inputs.reshape(-1), images[: len(loaded.data["eval"].inputs)].reshape(-1))
