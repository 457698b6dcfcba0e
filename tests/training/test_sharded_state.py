"""Sharded tensors in a checkpoint: written whole, and filled from whole ones."""

import pytest
import torch
import torch.distributed as dist

from sr3.training.state import _fill, whole

pytestmark = pytest.mark.slow


@pytest.fixture
def sharded():
    """A tensor of 3x4 sharded over the one process that there is."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield distribute_tensor(torch.arange(12.0).reshape(3, 4), init_device_mesh("cpu", (1,)), [Shard(0)])
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # torch's own
def test_a_sharded_tensor_is_written_whole_and_filled_again(sharded):
    expected, found = torch.arange(12.0).reshape(3, 4), whole(sharded)
    assert type(found) is torch.Tensor
    assert torch.equal(found, expected)
    _fill(sharded, expected + 1)
    assert type(sharded) is not torch.Tensor
    assert torch.equal(whole(sharded), expected + 1)
