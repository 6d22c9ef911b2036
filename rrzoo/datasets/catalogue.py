"""All data sets by name: one row each. To add one, write a module with its loader and its record, and enter it here."""

from rrzoo.datasets import cifar, clay10, imagenet, stl10
from rrzoo.datasets.dataset import Record

CATALOGUE: dict[str, Record] = {
    record.name: record
    for record in (
        cifar.CIFAR10,
        cifar.CIFAR100,
        cifar.CIFAR100_20,
        clay10.CLAY10,
        imagenet.SLIMAGENET,
        stl10.STL10,
        stl10.STANDIN,
        imagenet.TINY_IMAGENET,
    )
}
