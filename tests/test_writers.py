from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from gera_jax import writers
from gera_jax.checks import InputError


def test_json_lines_round_trip_and_are_on_disk_before_close(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    writer = writers.JsonLinesWriter(path)
    writer.write(1, {"loss": np.float32(0.5), "note": "ü", "bad": float("nan"), "big": np.inf})
    assert writers.read_json_lines(path) == [{"step": 1, "loss": 0.5, "note": "ü", "bad": None, "big": None}]
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()  # jq and browsers refuse them
    writer.close()
    writer.close()
    with pytest.raises(InputError, match="closed writer"):
        writer.write(2, {})


def test_json_lines_append_to_what_is_there(tmp_path):
    path = tmp_path / "m.jsonl"
    for step in (1, 2):
        with writers.JsonLinesWriter(path) as writer:
            writer.write(step, {"loss": step})
    assert [row["step"] for row in writers.read_json_lines(path)] == [1, 2]


def test_json_lines_refuse_a_metric_named_step(tmp_path):
    with (
        writers.JsonLinesWriter(tmp_path / "m.jsonl") as writer,
        pytest.raises(InputError, match='named "step"'),
    ):
        writer.write(1, {"step": 2})


def test_truncate_drops_later_steps_only_and_goes_on(tmp_path):
    path = tmp_path / "m.jsonl"
    with writers.JsonLinesWriter(path) as writer:
        for step in (10, 20, 30, 40):
            writer.write(step, {"loss": step})
        assert writer.truncate(after_step=20) == 2
        assert writer.truncate(after_step=20) == 0
        writer.write(30, {"loss": -1})
    assert [(row["step"], row["loss"]) for row in writers.read_json_lines(path)] == [
        (10, 10),
        (20, 20),
        (30, -1),
    ]
    assert list(tmp_path.iterdir()) == [path]


def test_a_torn_last_line_is_left_out_and_then_dropped(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "lo')
    assert writers.read_json_lines(path) == [{"step": 1}]
    with writers.JsonLinesWriter(path) as writer:
        writer.write(2, {"loss": 3})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2, "loss": 3},
    ]


def test_a_line_torn_inside_a_letter_is_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n' + '{"step": 2, "note": "ü'.encode()[:-1])
    assert writers.read_json_lines(path) == [{"step": 1}]


def test_a_broken_line_in_the_middle_is_an_error_with_its_number(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\nrubbish\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"line 2: got 'rubbish'; wanted one JSON object"):
        writers.read_json_lines(path)


def test_tensorboard_writes_numbers_and_skips_the_rest(tmp_path):
    with writers.TensorBoardWriter(tmp_path) as writer:
        writer.write(3, {"loss": 0.5, "note": "text", "nan": float("nan")})
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"loss" in content and b"note" not in content and b"nan" not in content


def test_tensorboard_takes_every_name_and_opens_nothing_before_the_first_step(tmp_path, capfd, caplog):
    writer = writers.TensorBoardWriter(tmp_path)
    assert list(tmp_path.iterdir()) == []
    writer.write(3, {"val/x_to_y/R@10": 0.5, "a b": 1.0})
    writer.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"val/x_to_y/R_at_10" in content and b"a_b" in content
    assert "illegal" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_reader_that_has_gone_does_not_end_the_run(terminal):
    class Gone(io.StringIO):
        def isatty(self):
            return terminal

        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    with writers.ProgressWriter(10, stream=Gone()) as writer:
        for step in (1, 10):
            writer.write(step, {"loss": 0.5})


def test_truncate_drops_what_is_no_line_of_metrics(tmp_path, caplog):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 0.5}\n\x00\x00\n[3]\n{"step": "x"}\n{"step": 2}\n{"step": 3}\n')
    with writers.JsonLinesWriter(path) as writer:
        assert writer.truncate(2) == 4
        writer.write(3, {})
    assert [row["step"] for row in writers.read_json_lines(path)] == [1, 2, 3]
    assert "3 lines were not whole and are dropped" in caplog.text


def test_tensorboard_may_be_absent_only_on_auto(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)  # what an uninstalled package looks like
    assert writers.tensorboard_writer(tmp_path, "auto") is None
    assert writers.tensorboard_writer(tmp_path, False) is None
    with pytest.raises(ImportError, match=r'pip install "gera_jax\[tensorboard\]"'):
        writers.tensorboard_writer(tmp_path, True)
    with pytest.raises(InputError, match="tensorboard: got 'yes'; wanted True, False"):
        writers.tensorboard_writer(tmp_path, "yes")  # type: ignore[arg-type]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(stream, total=100, **kwargs):
    now = [0.0]
    writer = writers.ProgressWriter(total, stream=stream, clock=lambda: now[0], **kwargs)

    def at(seconds, step, **metrics):
        now[0] = seconds
        writer.write(step, metrics)

    return writer, at


def test_progress_on_a_terminal_is_one_line_with_the_time_left():
    stream = Terminal()
    writer, at = progress(stream)
    at(10.0, 20, loss=0.123456)
    at(10.01, 21, loss=9.0)  # too soon after the last
    at(50.0, 100, loss=0.1)
    writer.close()
    writer.close()
    assert stream.getvalue() == (
        "\r\x1b[Kstep 20/100  20%  loss 0.1235  2.0 steps/s  40s left\r\x1b[Kstep 100/100  100%  loss 0.1  2.0 steps/s  50s\n"
    )


def test_progress_elsewhere_is_plain_lines_far_apart_and_the_last_step_always():
    stream = io.StringIO()
    writer, at = progress(stream, names=("loss",))
    for step in range(1, 101):
        at(step / 10, step, other=1, loss=step)
    writer.close()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("step 1/100  1%  loss 1  ") and lines[-1].startswith("step 100/100  100%  loss 100")
    assert len(lines) == 2 and "\r" not in stream.getvalue() and "other" not in stream.getvalue()


def test_progress_of_a_resumed_run_counts_only_its_own_steps():
    stream = Terminal()
    _, at = progress(stream, start_step=50)
    at(10.0, 60)
    assert stream.getvalue().endswith("step 60/100  60%  1.0 steps/s  40s left")


def test_progress_needs_a_step():
    with pytest.raises(InputError, match="total_steps: got 0; wanted at least 1"):
        writers.ProgressWriter(0)
