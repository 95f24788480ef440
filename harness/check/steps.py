"""Checks of a method's task in one step: it is built, trains what it says, and predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from harness import seed
from harness.augment.view import Augmentation
from harness.check.finding import Finding
from harness.check.subject import BATCH, CLASSES, COUNT, STREAM, Subject, checked_losses, dataset
from harness.errors import UserError, listed
from harness.spec.recipe import Checked, Continues, NeedsMasks, Prepared
from harness.train import backward
from harness.train.images import draw_batch
from harness.train.loop import look
from harness.train.optimizer import build_optimizer
from harness.train.task import Task, build_task

PART = 3
"""Images of a micro-batch: the last of a batch of eight is smaller."""


def built(subject: Subject) -> str | None:
    """The task is built at the profile's size, and the settings are accepted there."""
    method = subject.method
    if isinstance(method, Prepared):
        method.ready()
    if isinstance(method, Checked):
        method.check(recipe=subject.recipe, images=COUNT, backbones=subject.backbones)
    try:
        task = subject.task()
    except TypeError as error:
        if "must return a Task" not in str(error):
            raise
        raise Finding(str(error), type(method).build) from error
    views = getattr(task, "augmentations", ())
    if not views or not all(isinstance(view, Augmentation) for view in views):
        raise Finding(
            "augmentations has to be a tuple of an Augmentation per view, such as"
            " (Augmentation(),)",
            type(task),
        )
    if not any(p.requires_grad for p in task.parameters()):
        raise Finding("no parameter is trained; is the model assigned in __init__?", type(task))
    if isinstance(method, NeedsMasks) != task.segments:
        raise Finding(
            "a task with segment needs settings with needs_masks: ClassVar[bool] = True, and no"
            " other does",
            type(method),
        )
    if task.classifies and task.segments:
        raise Finding("it has both predict and segment; a task has one of them", type(task))
    return None


def trains(subject: Subject) -> str | None:
    """Losses are finite scalars, and their gradient reaches every parameter that is trained."""
    for epoch in subject.epochs:
        with seed.third_party(STREAM, "trains", epoch):
            task = subject.task()
            optimizer = build_optimizer(task, subject.short)
            batch, at = subject.batch(task, epoch)
            checked_losses(task.train(), batch, at)["total"].backward()
            _check_gradients(task, optimizer)
            before = {n: p.detach().clone() for n, p in task.named_parameters()}
            optimizer.step()
            frozen = [n for n, p in task.named_parameters() if not p.requires_grad]
            moved = [n for n in frozen if not torch.equal(task.get_parameter(n), before[n])]
            if moved:
                raise Finding(f"a step changes what is not trained: {listed(moved)}", type(task))
            task.after_step(at)
    return None


def _check_gradients(task: Task, optimizer: torch.optim.Optimizer) -> None:
    trained = {name: p for name, p in task.named_parameters() if p.requires_grad}
    without = [name for name, parameter in trained.items() if parameter.grad is None]
    if without:
        raise Finding(
            f"{len(without)} of {len(trained)} parameters get no gradient: {listed(without[:5])};"
            " use them in the loss, or set requires_grad_(False)",
            type(task).losses,
        )
    infinite = [n for n, p in trained.items() if not torch.isfinite(p.grad).all()]  # type: ignore[arg-type]
    if infinite:
        raise Finding(f"gradients are not finite: {listed(infinite[:5])}", type(task).losses)
    optimized = [id(p) for group in optimizer.param_groups for p in group["params"]]
    if sorted(optimized) != sorted(id(p) for p in trained.values()):
        raise Finding("the optimiser does not get every parameter once", type(task))


def predicts(subject: Subject) -> str | None:
    """Predictions and features have one row per image and do not depend on the batch."""
    task = subject.task().eval()
    size = subject.backbones.image_size
    images = torch.randn(6, 3, size, size, generator=seed.generator(STREAM, "predicts"))
    forwards: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...] | None]] = {}
    if task.classifies:
        forwards["predict"] = task.predict, (6, CLASSES)
    if task.segments:
        forwards["segment"] = task.segment, (6, 1, size, size)
    if task.has_features:
        forwards["features"] = task.features, None
    with torch.no_grad(), seed.third_party(STREAM, "predicts"):
        for name, (forward, shape) in forwards.items():
            _check_forward(task, name, forward(images), forward(images[2:3]), shape)
    return None if forwards else "it has neither predict, segment nor features"


def _check_forward(
    task: Task, name: str, together: Tensor, alone: Tensor, shape: tuple[int, ...] | None
) -> None:
    about = getattr(type(task), name)
    found = tuple(together.shape)
    if shape is None and (len(found) != 2 or found[0] != 6):
        raise Finding(f"{name} returns the shape {found} for 6 images; it must be (6, D)", about)
    if shape is not None and found != shape:
        raise Finding(f"{name} returns the shape {found}; it must be {shape}", about)
    if not bool(torch.isfinite(together).all()):
        raise Finding(f"{name} returns values that are not finite", about)
    if not torch.allclose(together[2:3], alone, atol=1e-5, rtol=1e-4):
        raise Finding(
            f"{name} of an image depends on the others of its batch; in eval mode it must not",
            about,
        )


def state(subject: Subject) -> str | None:
    """What a state dict holds is all that the losses depend on."""
    epoch = subject.epochs[-1]
    with seed.third_party(STREAM, "state"):
        task, other = subject.task(), subject.task(f"{STREAM} other")
        images = subject.images()
        task.before_epoch(epoch, lambda function: look(task, images, function))
        other.load_state_dict(task.state_dict())
    results = []
    for one in (task, other):
        with seed.third_party(STREAM, "losses"), torch.no_grad():
            at = subject.at(epoch)
            batch = draw_batch(one.eval(), images, torch.arange(BATCH), at)
            results.append({n: v.detach() for n, v in one.losses(batch, at).items()})
    different = [n for n, v in results[0].items() if not torch.equal(v, results[1][n])]
    if different:
        raise Finding(
            f"after load_state_dict, losses differ: {listed(different)}; register what they depend"
            " on as a buffer, or return it from get_extra_state",
            type(task),
        )
    return None


def micro_batches(subject: Subject) -> str | None:
    """A gradient that is added up over parts of a batch is that of the whole batch."""
    reason = backward.obstacle(subject.task().train())
    if reason is not None:
        return f"only whole batches: {reason}"
    for epoch in subject.epochs:
        whole, parts = (_gradients(subject, epoch, size) for size in (None, PART))
        endless = [n for n, g in whole.items() if not bool(torch.isfinite(g).all())]
        if endless:
            raise Finding(
                f"gradients of epoch {epoch} are not finite: {listed(endless[:5])}",
                type(subject.task()).losses,
            )
        scale = max((float(g.abs().max()) for g in whole.values()), default=0.0)
        for name, gradient in whole.items():
            if not torch.allclose(gradient, parts[name], atol=1e-4 * scale + 1e-8, rtol=1e-3):
                raise Finding(
                    f"{name} gets another gradient from parts of {PART} than from the whole batch;"
                    " make losses means over independent images and all draws in draw(), or say in"
                    " needs_whole what ties the images of a batch together",
                    type(subject.task()).losses,
                )
    return None


def _gradients(subject: Subject, epoch: int, size: int | None) -> Mapping[str, Tensor]:
    with seed.third_party(STREAM, "micro", epoch):
        task = subject.task()
        batch, at = subject.batch(task, epoch)
        try:
            backward.backward(task.train(), batch, at, size)
        except AssertionError as error:  # of stochastic depth, which is drawn by image
            raise Finding(f"a batch in parts fails: {error}", type(task).losses) from error
    return {n: p.grad for n, p in task.named_parameters() if p.grad is not None}


def starts(subject: Subject) -> str | None:
    """The weights of the stage before it can be taken over."""
    if subject.previous is None:
        return "it is a first stage"
    if isinstance(subject.method, Continues):
        subject.method.check_previous(subject.previous)
    before = build_task(subject.previous, dataset(), subject.backbones)
    task = subject.task()
    try:
        task.start_from(before.state_dict())
    except UserError as error:
        raise Finding(str(error), type(task).start_from) from error
    return None
