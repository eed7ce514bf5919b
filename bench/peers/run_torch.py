"""torch as a peer, on its CPU or on CUDA: `run_torch.py cpu <threads>`, `run_torch.py cuda`. It needs no Node.

Prints who it is, then reads lines. {"file", "rows", "columns"} asks for the loss of the logits in that file, the student's
and then the teacher's. Others are "rows columns repetitions" or "rows columns repetitions width" and answers each with one line of JSON: the median
milliseconds of value and gradient of KL(teacher || student), batchmean, as its users write it: log_softmax twice,
kl_div, backward. With a width the student's logits are F.linear of hidden states of that width and a matrix, both with
gradients. On CUDA also under torch.compile, and with Liger's kernel for kl_div where liger_kernel can be
imported. What is not there is under "missing", what does not run or computes something else under "failed".
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

device = sys.argv[1]
on_cuda = device == "cuda"
if on_cuda and not torch.cuda.is_available():
    sys.exit("this torch has no CUDA device")
if not on_cuda:
    torch.set_num_threads(int(sys.argv[2]))
torch.manual_seed(0)

missing = {}
liger_kl_div = None
if on_cuda:
    if not hasattr(torch, "compile"):
        missing["compile"] = f"torch {torch.__version__} has no torch.compile"
    try:
        from liger_kernel.ops.kl_div import LigerKLDivLossFunction

        liger_kl_div = LigerKLDivLossFunction.apply
    except Exception as error:
        missing["liger"] = f"{type(error).__name__}: {error}"


def say(answer):
    print(json.dumps(answer), flush=True)


def eager(student, teacher):
    return F.kl_div(F.log_softmax(student, -1), F.log_softmax(teacher, -1), reduction="batchmean", log_target=True)


def liger(student, teacher):
    return liger_kl_div(F.log_softmax(student, -1), F.log_softmax(teacher, -1), "batchmean", True)


def contenders():
    """What computes the loss, anew for each size: torch.compile then knows the shape."""
    losses = {"eager": eager}
    if on_cuda and "compile" not in missing:
        torch._dynamo.reset()
        losses["compile"] = torch.compile(eager, dynamic=False)
    if liger_kl_div is not None:
        losses["liger"] = liger
    return losses


def once(loss_of, leaves, logits, teacher):
    """The loss, and the milliseconds of it and its gradients."""
    for leaf in leaves:
        leaf.grad = None
    if not on_cuda:
        start = time.perf_counter()
        loss = loss_of(logits(), teacher)
        loss.backward()
        return loss, 1000 * (time.perf_counter() - start)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    loss = loss_of(logits(), teacher)
    loss.backward()
    end.record()
    end.synchronize()
    return loss, begin.elapsed_time(end)


def measure(rows, columns, repetitions, width=None):
    milliseconds, failed = {}, {}
    teacher = torch.randn(rows, columns, device=device) * 3
    if width is None:
        leaves = [(teacher + torch.randn(rows, columns, device=device)).requires_grad_(True)]
        logits = lambda: leaves[0]
    else:
        leaves = [torch.randn(n, width, device=device).div_(m).requires_grad_(True) for n, m in ((rows, 1), (columns, width**0.5))]
        logits = lambda: F.linear(*leaves)
    expected = None
    for name, loss_of in contenders().items():
        try:
            value = once(loss_of, leaves, logits, teacher)[0].item()
            expected = value if expected is None else expected
            if not abs(value - expected) <= 1e-3 * abs(expected):
                raise ArithmeticError(f"computes {value}, where eager says {expected}")
            if on_cuda:
                once(loss_of, leaves, logits, teacher)
            milliseconds[name] = statistics.median(once(loss_of, leaves, logits, teacher)[1] for _ in range(repetitions))
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        for leaf in leaves:
            leaf.grad = None
        if on_cuda:
            torch.cuda.empty_cache()
    return {"rows": rows, "columns": columns, "milliseconds": milliseconds, "failed": failed}


say(
    {
        "version": torch.__version__,
        "device": torch.cuda.get_device_name(0) if on_cuda else f"{torch.get_num_threads()} threads",
        "missing": missing,
    }
)
for line in sys.stdin:
    if line.startswith("{"):
        asked = json.loads(line)
        shape = (2, asked["rows"], asked["columns"])
        student, teacher = torch.from_file(asked["file"], size=2 * shape[1] * shape[2]).reshape(shape)
        say({"value": eager(student, teacher).item()})
        continue
    rows, columns, repetitions, *width = map(int, line.split())
    try:
        say(measure(rows, columns, repetitions, *width))
    except Exception as error:  # too large for the device's memory
        say({"rows": rows, "columns": columns, "milliseconds": {}, "failed": {"torch": f"{type(error).__name__}: {error}".splitlines()[0]}})
