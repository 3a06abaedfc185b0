"""Mining hard lines, and training a finished recogniser further."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cictrain import __main__ as steps
from cictrain import export, pool, schedule, train_recogniser
from cictrain.alphabet import CLASSES, encode
from cictrain.nets import LINE_HEIGHT, Recogniser, fuse

CPU = torch.device("cpu")


class Small(torch.nn.Module):
    """Stands in for the recogniser: its logits follow from the mean grey of each step."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(1, CLASSES)

    def forward(self, images):
        return self.head(images.unfold(3, 4, 4).mean((1, 2, 4))[..., None])


def filled(folder, texts, kind="copy"):
    rng = np.random.default_rng(0)
    writer = pool.LineWriter(folder, "test")
    for text in texts:
        writer.add(rng.integers(0, 255, (LINE_HEIGHT, 40 + 8 * len(text)), np.uint8), text, kind)
    writer.flush()
    return pool.line_shards(folder)


def saved(path, net, steps=0):
    average = schedule.Average(net)
    run = schedule.Run(path, 1, net, schedule.optimiser_of(net, 1e-3), average)
    run.steps = steps
    run.save()
    return average.net


def test_a_line_weighs_more_the_less_its_truth_is_believed():
    weights = train_recogniser.hardness(np.array([0.0, 0.7, 5.0]), np.array([8, 8, 8]))
    assert weights[0] == 1 and weights[0] < weights[1] < weights[2] < train_recogniser.DOUBTED


def test_a_line_that_nobody_could_read_is_left_out():
    assert train_recogniser.hardness(np.array([40.0, 40.0]), np.array([8, 80]))[0] == 0
    assert train_recogniser.hardness(np.array([40.0, 40.0]), np.array([8, 80]))[1] > 0


def test_mining_leaves_the_loss_of_every_line_in_the_shards_order(tmp_path):
    torch.manual_seed(0)
    net = Small().eval()
    (shard,) = filled(tmp_path, ["a much longer text", "12", "Hà Nội"]).values()
    losses = train_recogniser.shard_losses(net, shard, CPU)
    for number, text in enumerate(shard.texts):
        width = train_recogniser.lines.padded_width(max(shard.widths))
        image = torch.from_numpy(train_recogniser.lines.batch([shard.crop(number)], width))
        label = torch.from_numpy(np.array(encode(text)))
        alone = train_recogniser.losses_of(net, image, label, torch.tensor([len(label)]), CPU)
        assert losses[number] == pytest.approx(alone.item(), rel=0.02)


def test_a_shard_is_mined_once(tmp_path):
    (name,) = filled(tmp_path / "pool", ["1", "2"])
    pool.write_losses(tmp_path / "pool", name, [3, 4])
    train_recogniser.mine(Small(), tmp_path / "pool")
    assert pool.losses(tmp_path / "pool", name).tolist() == [3, 4]


def test_the_sampler_favours_what_was_mined_as_hard(tmp_path):
    (name,) = filled(tmp_path, ["easy one", "hard one", "lost one"])
    sampler = train_recogniser.Sampler(tmp_path, (0,))
    sampler.refresh()
    assert sampler.weights == pytest.approx(np.full(3, 1 / 3))
    pool.write_losses(tmp_path, name, [0.0, 5.0, 100.0])
    sampler = train_recogniser.Sampler(tmp_path, (0,))
    sampler.refresh()
    assert sampler.weights[1] > 0.9 * train_recogniser.DOUBTED * sampler.weights[0] > 0 and sampler.weights[2] == 0


def test_tuning_begins_with_the_averaged_weights_or_those_published(tmp_path):
    torch.manual_seed(0)
    options = SimpleNamespace(work=tmp_path, out=tmp_path)
    lines = torch.rand(2, 1, LINE_HEIGHT, 64)
    published = Recogniser().eval()
    for parameter in published.parameters():  # equal ones would be stored once
        torch.nn.init.uniform_(parameter, -0.1, 0.1)
    before = published(lines)
    export.export("recogniser", published, tmp_path / "recogniser.onnx")
    (tmp_path / "manifest.toml").write_text('[[model]]\nkind = "recogniser"\ntrained = "Long."\n')
    base = steps.base(options)
    assert torch.allclose(steps.network(options, "recogniser", base)(lines), before, atol=1e-4)
    assert steps.history(options, "recogniser", base) == "Long."

    average = saved(base, Recogniser())
    base.with_suffix(".txt").write_text("Short.\n")
    assert torch.equal(steps.network(options, "recogniser", base)(lines), average(lines))
    assert steps.history(options, "recogniser", base) == "Short."


def test_a_tuned_network_goes_on_where_it_stopped_and_is_exported(tmp_path):
    torch.manual_seed(0)
    tuned = tmp_path / "tuned.pt"
    average = saved(tuned, fuse(Recogniser().eval()), steps=3)
    net = fuse(Recogniser().eval())
    run = schedule.Run(tuned, 1, net, schedule.optimiser_of(net, 1e-3), schedule.Average(net))
    lines = torch.rand(1, 1, LINE_HEIGHT, 64)
    assert run.steps == 3 and torch.equal(net(lines), average(lines))
    assert torch.equal(export.network("recogniser", tuned)(lines), average(lines))


def test_the_history_of_a_tuned_model_tells_of_both_trainings(tmp_path):
    options = SimpleNamespace(work=tmp_path, batch=1)
    filled(tmp_path / "pool" / "tuning", ["1", "2"])
    base, tuned = tmp_path / "ckpt" / "recogniser.pt", tmp_path / "ckpt" / "recogniser-tuned.pt"
    saved(base, Small())
    assert steps.checkpoint(options, "recogniser") == base
    base.with_suffix(".txt").write_text("From nothing.\n")
    saved(tuned, Small(), steps=12)
    assert steps.checkpoint(options, "recogniser") == tuned
    before = steps.history(options, "recogniser", base)
    steps.note(options, tuned, f"{before} Then tuned", "{lines} lines of {pages} pages", "tuning")
    told = steps.history(options, "recogniser", tuned)
    assert told.startswith("From nothing. Then tuned") and "12 steps" in told and "2 lines of 0 pages" in told
