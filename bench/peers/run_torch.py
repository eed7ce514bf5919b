"""The peer of the field: torch on the CPU. Reads lines "rows columns repetitions", answers each with one JSON line.

value and gradient of KL(teacher || student), batchmean, as its users write it: log_softmax twice, kl_div, backward.
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True)


def once(student, teacher):
    student.grad = None
    start = time.perf_counter()
    loss = F.kl_div(F.log_softmax(student, -1), F.log_softmax(teacher, -1), reduction="batchmean", log_target=True)
    loss.backward()
    return time.perf_counter() - start


for line in sys.stdin:
    rows, columns, repetitions = map(int, line.split())
    teacher = torch.randn(rows, columns) * 3
    student = (teacher + torch.randn(rows, columns)).requires_grad_(True)
    once(student, teacher)
    print(json.dumps({"seconds": statistics.median(once(student, teacher) for _ in range(repetitions))}), flush=True)
